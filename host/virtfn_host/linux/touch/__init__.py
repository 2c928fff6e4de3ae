"""Reads and writes that may block: each happens in another process and has a deadline.

This is the theory of operation of blocked writes; `linux/use/canary.py` and `stuck.py` are part of it.

Why a write blocks for ever. While a program has a function's vfio device open, three writes wait in the kernel until it
closes the device: 0 to `sriov_numvfs` of the PF, the function's `unbind`, the PF's `unbind`. The first one holds the
PF's lock and the PCI lock of the whole node meanwhile. Every later write to `sriov_numvfs`, of any PF, queues behind it
and is executed when the lock is freed (measured: tests/contract/test_stuck.py). No signal ends the wait, and killing
the process that wrote cancels no queued write (measured by hand on Linux 6.1 and 6.12). A waiting unbind of a VF holds
that VF's lock only.

Our own writes meet a holder only where the in-use lock cannot keep it out (`linux/use/__init__.py`). Other programs'
writes meet holders at any time, and a driver or card that hangs needs no holder.

The child with a deadline. `Writer` never writes by itself. A thread in a blocked write would keep this process from
ending, and with it the pod. So a `Crew` is a process of its own with one thread for each `Child`; it holds none of our
files and has a session of its own. A child gets a list of writes in one message, carries them out one after the other,
and answers each with its errno and the time when it returned (`child_program.py`). The deadline is for each write, not
for the list: `patience` of the step, from 5 s for an override to 120 s for a number of VFs (measured:
tests/unit/host/test_deadlines.py). The start of the process does not count (measured: tests/unit/host/
test_slow_start.py).

`Lists.carry_out` (`rounds.py`) listens to all children of a round. A write is late when its deadline passes, or after
`HELD_AFTER` seconds if a function that it waits for shows as open; otherwise a slow card keeps its whole deadline. When
one write is late:

1. Every child is hung up on. A child looks for the hang-up before it begins a write. So a child that stays silent is at
   the one write that it has not answered, and has begun no other.
2. The late write becomes a `StuckError` that names its holder. Writes without an answer were not begun.
3. `Writer` keeps the late children. As long as one is silent, `Writer.stuck` returns a `Stuck`, and `write_each`
   answers every further write with a `StuckError` and begins none.

What is never done after that:

- No signal is sent: it would make the wait uninterruptible, and the kernel's hung-task watch counts such waits.
- Nothing is written to sysfs until the write returns. It would queue, and be executed at an unknown later time.
- Nothing is tried again or undone. Whether the blocked write will succeed is unknown; the next look shows what became
  of it.
- The plan does not go on, not even with modules and link settings, and not even if the write returns meanwhile: its
  remaining steps were planned on what is skipped now. `apply` reports them as not tried, reason `Stuck`.
- Our process does not wait for it: `Crew.leave` waits a second at most, then the process gets another parent.

Writes of other programs. Nothing in the kernel tells of a blocked write, but reading `sriov_numvfs` hangs behind one.
`Canary` reads that of every PF in a child and waits `DEADLINE` seconds for an answer. `hanging` (`stuck.py`) then looks
in /proc for the process that writes and the process that holds. A blocked unbind stops no read: `others_write` finds it
as a function that is enabled without a driver while a process has an `unbind` open. The question is asked at every look
(`Executor.blocked_write`), before a plan (`Executor.carry_out`), and by `apply` before each further PF and each number
of VFs. While virtfn itself writes, no look asks, because its read would hang behind our own write. Between the question
and our write another program may still begin one. Then ours queues, is late, and counts as blocked.

Reads that hang. On Linux 6.1 `driver_override` hangs behind a blocked write, too, so looks and steps read it by a
`Reader`, in a child (measured: tests/unit/host/test_overrides_that_hang.py). Some attributes of netdevs hang while a
driver hangs under rtnetlink's lock (`ports.py`); a `Reader` takes these, too, in children of their own (measured:
tests/unit/host/test_reads_under_a_lock.py). After one read hangs, further ones of its kind fail at once until that one
returns. The readers of a host process have their children in one process (measured:
tests/unit/host/test_readers_share_a_process.py). Only `Canary` reads `sriov_numvfs`: everything else counts VFs by
their `virtfnN` links.

`Modprobe` starts a process of its own with a deadline. It writes nothing to sysfs, so it is killed when it is late.
"""
