"""What the kubelet is told about one resource; a request finds a device by its id without a search. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from virtfn_host.core.values.offered import DevicePool, PoolDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOffer:
    """A pool, and its devices by the kubelet's ids. It is made once for each list, because a pool may have thousands of
    devices and a request names a few.
    """

    pool: DevicePool
    devices: Mapping[str, PoolDevice]

    @classmethod
    def of(cls, pool: DevicePool) -> "PoolOffer":
        """Return the offer of a pool."""
        return cls(pool=pool, devices={str(device.address): device for device in pool.devices})
