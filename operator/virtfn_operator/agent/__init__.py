"""The agent of one node: plans changes, has the host process apply them, publishes pools and reports the status.

Theory of operation: the two beats
==================================

Between the moment the agent reads what is in use and the moment a driver is unbound, the kubelet may allocate the same
VF to a new pod. So a plan that displaces functions (takes them away or rebinds them) is applied in two beats: first
withdraw the functions from new pods, then look again and apply only what the second look allows.

One round of the loop is `Agent.turn` (a node's turn, `spec.mayChange`, is something else):

1. *Look.* `NodeMachine.look` asks the host process for an observation, then the kubelet for the devices of pods, then
   reads the device plugin's ledger. `_decide` derives what is in use, resolves the policies and plans. A kubelet that
   does not answer, or a ledger that cannot be read, makes every function count as in use (`in_use.in_use`), so the plan
   displaces nothing. `Damping.judge` takes out the steps of each PF whose repair has to wait.
2. *Stop early.* `NodeMachine.carry_out` does nothing while `Found.halted`: a write is blocked in the kernel, or the
   journal cannot be read.
3. *Calm part.* PFs whose plan displaces no function (`Plan.calm`) are applied at once, without a turn. What displaces
   functions goes on only with `spec.mayChange` and a usable in-use lock (`Found.lock_error`).
4. *First beat* (`NodeMachine._change`). `publish` writes the pool file with every displaced function unhealthy, reason
   `Reconfiguring`. `_offered_no_more` asks the kubelet for its allocatable devices every `Patience.poll` seconds until
   none of them is listed. A kubelet that does not answer counts as still offering them.
5. *Second beat.* `look` again and plan again. The second plan alone is applied (`_apply`), and only if everything that
   it displaces was withdrawn and nothing halts the node. A function that a pod got in the meantime shows as in use now,
   and the plan leaves it alone. A request that is not in the ledger by then is refused: the device plugin looks at the
   pool file after it has written the ledger (its `grant/effects.py`). Beyond that, the host process takes the in-use
   lock itself and refuses a step on a function that is in use, whatever the plan says.
6. *Look once more.* `Agent.turn` looks again after any change or attempt (`Done.stale`), publishes without withdrawals,
   and writes the status from this last look: a withdrawn function is offered again as soon as its driver is as asked.
   A function whose pool changes takes two rounds for the same reason: it stays in the old pool, unhealthy, until a look
   finds that the kubelet does not offer it there (`NodeMachine._left`), and then that it is free.
   What this look verified is kept for the next boot (`NodeMachine.keep`).

7. *Ask the kubelet* (`Offering.look`). What it offers to pods is compared with what was published; a difference that
   lasts is told as `NotOffered`. This hinders no other step, and no other step waits for it.

What calls the change off (`Done.obstacle`); step 6 then offers the functions again, and the next round tries again
after a pause that grows from `Patience.retry` to `Patience.retry_limit` seconds:

- another device plugin offers a function, too (`VfsInUse`); nothing was withdrawn;
- the in-use lock cannot be used (`Unreadable`); nothing was withdrawn;
- the kubelet still offers a function after `Patience.withdraw` seconds (`VfsInUse`): the device plugin may be down;
- the second plan displaces a function that was not withdrawn (`StaleSnapshot`): the machine changed in the meantime.

Faults in the middle:

- *A pod holds the function.* The PF is blocked with its holders and keeps offering what it offered. The agent looks
  again every `Patience.blocked` seconds (`Agent._calm`), so it goes on soon after the pod releases the function.
- *A step fails.* The status says what failed; the next round begins with a look, so the rest is planned from what is
  there. Pauses grow up to `Patience.retry_limit`.
- *The host process does not answer, or the pool file cannot be written.* The round ends with an exception, which
  `Agent.run` catches. What was published last stays, withdrawals too, until a later round publishes again.
- *The API server is away.* `Agent._word` gives up after `Patience.api` seconds and logs it. The last spec is carried
  out, and pools are published without waiting for the server.
- *The agent restarts.* It remembers nothing that it can see: the new process looks, plans, and begins with the first
  beat again. What pods were offered comes from the pool file or, because an agent that ends removes that file,
  from the status (`NodeMachine.remember`), so that a function in use does not leave its pool. On SIGTERM the current
  round has `agent_process.GRACE` seconds to end.
- *The turn is taken back* (`mayChange` becomes false). A round that has begun finishes with the spec that it read. The
  next one applies the calm part only. An agent keeps its turn by reporting something new: while steps end,
  `progress.telling` writes how many are left, every `Patience.progress` seconds.
- *The SriovNode is deleted and created again.* `Agent._adopt` keeps the last configuration and drops the turn.
- *Another program undoes our repair.* The first undoing is repaired at once. From the second within `damping.WINDOW`
  seconds of a repair on, that PF waits, twice as long each time up to `damping.LIMIT`, and shows as blocked with reason
  `Drifted` (`damping.py`). Both looks go through `Damping.judge`, so neither beat touches a PF that waits.
"""
