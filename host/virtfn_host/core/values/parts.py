"""Parts of a function that a container needs and that the kernel does not always show, as one closed list of words."""

from enum import StrEnum


class Part(StrEnum):
    """A part of a function. The inventory names those that are missing; `checks/healthy.py` says what that means."""

    NODE = "node"  # on a vfio driver: the device node of its group or, where vfio has no groups, its cdev
    CONTAINER = "container"  # /dev/vfio/vfio, beside a group's node
    IOMMUFD = "iommufd"  # /dev/iommu, beside a cdev
    CDEV = "cdev"  # on a vfio driver: its cdev, which only grant.iommufd asks for; looked for where /dev/iommu is
    NETDEV = "netdev"  # of a network function on a network driver, in whatever network namespace
    UP = "up"  # a netdev of it that is set up
    CARRIER = "carrier"  # the carrier of that netdev
    PORT = "port"  # an InfiniBand port of it that is active
    GUID = "guid"  # of its InfiniBand device: not zero
    RDMA = "rdma"  # an RDMA device and its nodes, where grant.rdma asks for them
    CONTROLLER = "controller"  # of an NVMe function on the nvme driver: live


OF_VFIO = (Part.NODE, Part.CONTAINER, Part.IOMMUFD)
OF_LINK = (Part.UP, Part.CARRIER, Part.PORT)
