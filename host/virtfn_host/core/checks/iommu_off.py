"""Explain why a function has no IOMMU group: firmware, kernel command line or hypervisor. Nothing is changed.

Only the group shows whether an IOMMU is on. The command line does not: on many machines Linux switches the IOMMU on by
itself (measured by hand). The command line is read for the explanation only.
"""

_OFF = {
    "intel_iommu": ("off",),
    "amd_iommu": ("off",),
    "iommu": ("off",),
    "arm-smmu.disable": ("1", "y"),
    "acpi": ("off",),
}
_VENDORS = {
    "DMAR": "the machine has an Intel IOMMU (DMAR table); start the kernel with intel_iommu=on",
    "IVRS": "the machine has an AMD IOMMU (IVRS table), which Linux uses by itself; see `dmesg | grep -i AMD-Vi`",
    "IORT": "the machine has an Arm SMMU (IORT table); does the kernel have its driver (CONFIG_ARM_SMMU_V3)?",
}


def why_no_group(
    *, iommus: tuple[str, ...], tables: tuple[str, ...] | None, command_line: str, virtual_machine: bool
) -> str:
    """Return one sentence: what is off, and where to switch it on.

    Args:
        iommus: names in `/sys/class/iommu`.
        tables: the firmware's IOMMU tables; None: they cannot be seen here.
        command_line: `/proc/cmdline`.
        virtual_machine: whether this machine is itself a guest.
    """
    if iommus:
        return "this machine's IOMMU does not cover it; look at the firmware's IOMMU settings, or use another slot"
    switched_off = _switched_off(command_line)
    if switched_off is not None:
        return f"the kernel was started with {switched_off}: remove it from the boot command line and reboot"
    if tables:
        hints = "; ".join(_VENDORS.get(table, table) for table in tables)
        return f"the IOMMU is off: {hints}"
    if virtual_machine:
        return (
            "this is a virtual machine without an IOMMU of its own; give it one in its hypervisor (QEMU: intel-iommu)"
        )
    if tables == ():
        return "the firmware shows no IOMMU; switch VT-d, AMD-Vi or SMMU on in the firmware's settings"
    text = "no IOMMU is on, and the firmware's tables cannot be seen here"
    return f"{text}; switch VT-d, AMD-Vi or SMMU on in the firmware, and start the kernel with intel_iommu=on (Intel)"


def _switched_off(command_line: str) -> str | None:
    """Return the parameter that switches the IOMMU off, or None. If it appears twice, the last counts, as in Linux."""
    last: dict[str, str] = {}
    for word in command_line.split():
        name, _, value = word.partition("=")
        if name in _OFF:
            last[name] = value
    # A value is a list of words: `intel_iommu=on,sm_off`.
    off = (f"{name}={v}" for name, v in last.items() if any(part in _OFF[name] for part in v.split(",")))
    return next(off, None)
