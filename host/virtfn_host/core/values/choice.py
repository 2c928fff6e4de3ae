"""How the functions of a pool are chosen, where the kubelet has a choice (`allocation` of a policy). Values only."""

from dataclasses import dataclass
from enum import StrEnum


class Prefer(StrEnum):
    """The choice among functions on the same NUMA nodes."""

    PACK = "Pack"  # as few PFs as possible
    SPREAD = "Spread"  # as many PFs as possible


class Topology(StrEnum):
    """What the kubelet's topology manager is told of the functions."""

    NUMA = "Numa"  # their NUMA nodes
    NONE = "None"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How the functions of one pool are chosen."""

    prefer: Prefer = Prefer.PACK
    topology: Topology = Topology.NUMA


ANY = Choice()
"""The choice that is made unless a policy asks for another one."""
