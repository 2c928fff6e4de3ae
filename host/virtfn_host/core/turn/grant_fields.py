"""Reads `grant` of a policy: what containers get beside the vfio nodes and the environment. Pure."""

from collections.abc import Mapping

from virtfn_host.core.values.desired import KERNEL_DRIVER
from virtfn_host.core.values.extras import MAX_GID, Cdi, Extras, node_mode
from virtfn_host.core.values.fields import PolicyError, read_number, read_object, read_switch, shown

GRANT_FIELDS = ("rdma", "vhostNet", "tun", "iommufd", "cdi")
CDI_FIELDS = ("gid", "mode")


def read_extras(value: object, path: str, driver: str) -> Extras:
    """Return what a `grant` asks for, of functions on this driver.

    Raises:
        PolicyError: it is not an object, or a field of it is not valid, or not with this driver.
    """
    fields = read_object(value, path, GRANT_FIELDS)
    extras = Extras(
        rdma=_switch(fields, "rdma", path),
        vhost_net=_switch(fields, "vhostNet", path),
        tun=_switch(fields, "tun", path),
        iommufd=_switch(fields, "iommufd", path),
        cdi=_cdi(fields["cdi"], f"{path}.cdi") if "cdi" in fields else None,
    )
    if extras.rdma and driver != KERNEL_DRIVER:
        raise PolicyError(f"{path}.rdma: a function on {driver} has no RDMA device; it needs driver: {KERNEL_DRIVER}")
    return extras


def extras_fields(extras: Extras) -> dict[str, object]:
    """Return the `grant` that `read_extras` reads as this; empty where nothing is asked for."""
    cdi = extras.cdi
    return {
        **({"rdma": True} if extras.rdma else {}),
        **({"vhostNet": True} if extras.vhost_net else {}),
        **({"tun": True} if extras.tun else {}),
        **({"iommufd": True} if extras.iommufd else {}),
        **({} if cdi is None else {"cdi": {"gid": cdi.gid, "mode": cdi.mode}}),
    }


def _switch(fields: Mapping[str, object], name: str, path: str) -> bool:
    return read_switch(fields.get(name, False), f"{path}.{name}")


def _cdi(value: object, path: str) -> Cdi:
    """A group without a mode may read and write: a group that may do nothing would be no use."""
    fields = read_object(value, path, CDI_FIELDS)
    mode = "0660" if "gid" in fields else "0600"
    return Cdi(
        gid=read_number(fields.get("gid", 0), MAX_GID, f"{path}.gid", "group id"),
        mode=_mode(fields.get("mode", mode), f"{path}.mode"),
    )


def _mode(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise PolicyError(f'{path}: {shown(value)} is not a text; put it in quotes, like "0660"')
    try:
        return node_mode(value)
    except ValueError as error:
        raise PolicyError(f"{path}: {error}") from error
