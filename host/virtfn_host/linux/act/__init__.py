"""Carrying out a plan, step by step, under the in-use lock and behind the wall.

This is the theory of operation of `apply`. It gets a plan, which is a value, and returns a report with one result for
each step: done, failed or not tried. It adds no step and changes none. All that it may do on its own is refuse. Whether
the machine is as desired afterwards is not its question: `core/turn/verify.py` answers that from a new look.

One process writes on a node: `only_writer` locks the folder of the journal. Before a plan, `Executor.carry_out` asks
for blocked writes.

The order is the plan's: PF by PF, and inside a PF as `core/turn/plan.py` says. Each PF gets a new `PfApply` with a wall
of its own. `portions_of` takes alike steps of a PF together, 32 at most: overrides or binds (`Portion`), or link
settings (`Links`). Every other step is alone. A portion is checked step by step (`Portion.check`), written in one call
of `Writer.write_each`, then looked at. The next portion is checked while this one is written (docs/decisions/0009).

Before its first write, every step that changes something passes these checks, as far as they concern it:

- The place. A step names a VF by PF and index. `expect_place` refuses where the VF is gone or has another address than
  in the plan.
- The wall (`wall.py`), below.
- The expectation. The step says what it expects to find; `expect` compares that with what is read now. A difference is
  a `StaleSnapshotError`: the machine has changed since the plan was made, so look and plan again.
- The journal. `remember` notes how the PF was, before its first touch. If that fails, the step fails.
- The in-use lock (`held`), for `Unbind`, `SetNumVfs` to 0, `SetLink` and, of a VF, `SetMtu`. Under it, `_set_num_vfs`
  unbinds every VF side by side and then writes 0, so no pod can open a VF in between (docs/decisions/0004).

After a bind the driver link is read, and after a probe too, because the kernel reports success where nothing was bound
(measured: tests/contract/test_writes.py). `Settle` waits until the kernel shows every VF, and its IOMMU group where
the PF has one. A result other than asked fails its step at once (`made.py`) and is noted (`tries.py`). Before a step
that takes VFs away or unbinds a function, `PfTries` counts it, and refuses the fourth for one wish, whatever the plan
says (measured: tests/unit/host/test_tries_of_wishes.py; docs/decisions/0024).

The journal (`journal.py`) also has the claims of policies (`core/turn/claims.py`), which `NoteClaims` writes and which
outlive boots; its originals are of one boot (docs/decisions/0023). A claim that it does not have yet is written only if
the machine shows what the claim says of the function (`claimed.py`), and within bounds, so that originals always fit
(measured: tests/unit/host/test_claims_that_are_made_up.py). The journal has one entry for each card that was touched:
number of VFs, autoprobe, and driver, override and link settings of each VF. The function's own driver is added when the
function itself is touched first, and an MTU right before virtfn sets it for the first time (`mtu_steps.py`). Right
before the first write to `sriov_numvfs` it notes that the number of VFs is virtfn's: only then it is given back, and
with it all link settings, which were lost (docs/decisions/0046). Otherwise only link settings that virtfn has set are
given back: they are noted right before, too (`link_steps.py`, docs/decisions/0010). An entry is written before the
touch and not overwritten while the card is there, so a kill at any moment loses nothing (measured:
tests/kernel/guest/test_killed.py). `Forget` drops it, but only if the machine is again as it says, or another card is
there. Link settings end with the VFs: where they cannot be read, only the step that ends the VFs is refused. A journal
that cannot be read stops every step that changes something, and is never replaced.

What the wall refuses, whatever the plan says (docs/decisions/0013):

- a function that this machine needs, or may need: `NeededError` (measured: tests/unit/host/test_needed.py);
- a driver or override that is neither a vfio driver, nor what the journal has for this very function, nor named for it
  by modules.alias: `DriverRefusedError` (measured: tests/unit/host/test_drivers_allowed.py);
- a module that brings no driver of these kinds.

The wall believes the machine and the journal, never the plan. One look serves all steps of a PF.

When a step fails, its result has the reason of the error. The later steps of its PF are not tried and repeat that
reason (`_not_now`); other PFs go on. Inside a portion the other steps are tried all the same. A link setting or MTU
that fails stops nothing. Nothing is undone: the next turn looks, and plans from what it finds. Only `_probe` cleans up:
it turns autoprobe off again in any case.

When a deadline is missed (`patience` in `core/values/steps.py`), it depends on what was late:

- A write to sysfs: it is blocked in the kernel, and the plan ends. Every later step of every PF is not tried, reason
  `Stuck`, also link settings and modules (measured: tests/contract/test_stuck.py; `linux/touch/__init__.py` says why).
- `Settle`: `SettleTimeoutError`, a failure like any other.
- modprobe: it is killed, `ModuleMissingError`.
- netlink: `NetlinkError`, a failure of its link setting, which the kernel may still make later.
- The carrier that a rate needs: the driver is asked all the same, and its answer counts.
- A read by a `Reader`: `SysfsReadError`, a failure like any other (measured: tests/unit/host/
  test_reads_under_a_lock.py).

Another program's blocked write ends the plan in the same way: `blocked` asks for one before each further PF and each
number of VFs. `stopping` is asked before each portion, and `unwanted` before each PF and while `Settle` or a carrier is
waited for. So a process that ends finishes its step, and a plan whose client has gone makes way for the next one.
"""
