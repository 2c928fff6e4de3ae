"""Who uses a function: the in-use lock (`lock.py`), and writes that are blocked (`canary.py`, `stuck.py`).

This is the theory of operation of the in-use lock. That of blocked writes is in `linux/touch/__init__.py`.

The danger. A program opens a function through vfio, and virtfn unbinds the function or ends the VFs of its PF. The
kernel then refuses nothing: the write waits until the program closes the device (measured:
tests/contract/test_stuck.py). To look first and then write is not enough, because a pod may open the device in between.

The lock. Only one process at a time may open `/dev/vfio/GROUP`. `held` opens the group of every function that it is
asked for and keeps the groups open while the caller writes. A program that tries meanwhile gets EBUSY and cannot begin
to use the function (measured: tests/contract/test_group_lock.py; against two competing programs:
tests/kernel/guest/test_contested.py). An open group does nothing to the device: its enable count stays 0 (measured:
tests/contract/test_in_use_lock.py). The kernel closes our files when our process dies, so no lock is left behind.

What `held` does, in this order:

1. `refuse_needed` refuses every function that this machine needs (`NeededError`).
2. `_open_group` opens each IOMMU group once, in the order of their numbers. EBUSY means that another process uses it.
   A group without a device node is skipped for now. Any other errno is a refusal: we cannot tell.
3. `OneLook.again` looks at the machine anew, because what was seen before the lock may have changed.
4. `_lockable` says which group must be ours: that of a function on a vfio driver, or of one that shares its group with
   such a function. If such a group was not opened, the function came onto vfio just now, or its node is missing:
   `_not_taken` refuses (measured: tests/unit/host/test_lock_races.py).
5. `holders` looks for every use that an open group does not exclude (below).
6. The caller gets the look that was taken under the lock. At the end all groups are closed.

So the lock is on all functions or on none (measured: tests/contract/test_in_use_lock.py), and until the caller writes
nothing has changed. A refusal is a `HostError`, mostly `FunctionInUseError` or `NeededError`; a later turn tries again.

What an open group does not exclude, and what `holders` looks at instead:

- A cdev. Where the kernel has cdevs, a program can open `/dev/vfio/devices/vfioN` without the group. It cannot bind the
  cdev while we have the group, so it cannot use the device, but its open file blocks our unbind all the same (measured:
  tests/contract/test_cdev.py). Only /proc/PID/fd shows such a file. `OpenNodes.user_among_all` reads it for every
  process, and accepts only a /proc that shows all processes of the machine.
- A kernel without groups (CONFIG_VFIO_GROUP is off). There is nothing to lock: the enable count and /proc are all there
  is (measured: tests/contract/test_cdev_only.py).
- A network driver. A netdev that is up, has a master or an address, or is in another network namespace, is in use
  (`_netdev_user`). So is a card with an open RDMA or vDPA node; an open clock or sensor is no use (`_node_user`).
- Any other driver. A mounted file system, a block device that is made of its disk (device mapper, RAID, bcache), or an
  open device node is use (`_node_user`). With NVMe multipath a disk is in no function's folder; its use is use of each
  function that has a path to it (`Sysfs.device_nodes`). For nodes, too, `user_among_all` is asked.

In these four cases nothing keeps out a program that comes after the look. A cdev or a vDPA node that it opens blocks
the write; a netdev or a disk is taken from it.

What no look shows: a user in the kernel that sysfs does not list among the holders of a disk (ZFS, a loop device, a
kernel target), and a node that a container has under a path other than the host's.

Unknown counts as in use. What does not read becomes a holder with the cause `UNREADABLE`, a missing enable count one
with `NO_ENABLE_COUNT`. The unit is the IOMMU group, because vfio hands out whole groups: a user of one member uses all
of them (`_sibling_user`; measured: tests/contract/test_shared_group.py).

Who takes the lock: the steps that take a function away or change it under its user. `SetNumVfs` to 0 locks every VF of
the PF, `Unbind` locks the function and its VFs, `SetLink` and `SetMtu` lock their VF. A bind, a probe and an override
need no lock: the first two work on functions without a driver, the third acts at the next bind. A pod that starts in
those milliseconds gets EBUSY, and the kubelet starts its container again. Hence `evidence`, the regular look of every
turn, opens no group: it reports what looking shows, and the lock decides at the moment of the write. It names the
processes only of functions for which that is asked (`users_of`), because all of /proc has to be read for it. Where an
idle function has a cdev, each look reads /proc once all the same: an open cdev that is not bound shows only there.
"""
