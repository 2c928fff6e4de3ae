"""Why a function has no IOMMU group: firmware, kernel command line, hypervisor. Says what to change; changes nothing.

Whether there is an IOMMU is told by the group alone, never by the command line: Linux switches it on by itself on many
machines (measured); the command line only explains.
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
    """One sentence: what is off, and where to switch it on.

    Args:
        iommus: `/sys/class/iommu`.
        tables: the firmware's IOMMU tables; None: not to be seen.
        command_line: `/proc/cmdline`.
        virtual_machine: this machine is itself a guest.
    """
    if iommus:
        return "it is behind no IOMMU, though this machine has one; firmware left it out, or its slot is not covered"
    switched_off = _switched_off(command_line)
    if switched_off is not None:
        return f"the kernel was started with {switched_off}: remove it from the boot command line and reboot"
    if tables:
        hints = "; ".join(_VENDORS.get(table, table) for table in tables)
        return f"the IOMMU is not at work: {hints}"
    if virtual_machine:
        return (
            "this is a virtual machine without an IOMMU of its own; give it one in its hypervisor (QEMU: intel-iommu)"
        )
    if tables == ():
        return "the firmware shows no IOMMU; switch VT-d, AMD-Vi or SMMU on in the firmware's settings"
    text = "no IOMMU is at work, and the firmware's tables are not to be seen here"
    return f"{text}; switch VT-d, AMD-Vi or SMMU on in the firmware, and start the kernel with intel_iommu=on (Intel)"


def _switched_off(command_line: str) -> str | None:
    """The word that switches it off; of one parameter the last word counts, as in the kernel."""
    last: dict[str, str] = {}
    for word in command_line.split():
        name, _, value = word.partition("=")
        if name in _OFF:
            last[name] = value
    # `intel_iommu=on,sm_off`: a value is a list of words.
    off = (f"{name}={v}" for name, v in last.items() if any(part in _OFF[name] for part in v.split(",")))
    return next(off, None)
