"""From a policy to the steps on the machine: policy, resolve, plan, verify, pools."""
