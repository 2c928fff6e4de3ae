"""From what is asked to what is done: policy, resolve, plan, verify, pools."""
