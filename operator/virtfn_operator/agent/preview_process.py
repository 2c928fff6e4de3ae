"""`virtfn-operator preview`: answers once what this node would do if it were asked something else. Changes nothing.

It runs by `kubectl exec` in the agent's container, beside the agent, with the agent's own sources: the host process's
look, the kubelet's list of pods, the device plugin's ledger. The request comes on standard input, the answer goes to
standard output, each one JSON document. It has no memory of what the agent did before: a repair that waits because
another program undoes it (`damping.py`) is told as if it did not wait.
"""

import asyncio
import importlib.metadata
import json
import sys
from typing import BinaryIO, TextIO

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import Domains
from virtfn_host.core.values.strict_json import parse_json
from virtfn_host.linux.clock import since_boot
from virtfn_host.process.client import HostClient, HostRefused, HostUnreachable
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.podresources import PodResources
from virtfn_operator.agent.ports import Patience
from virtfn_operator.agent.preview import REQUEST_LIMIT, answer, asked_config, refusal
from virtfn_operator.api.foreign import mapping, number
from virtfn_operator.api.node_spec import NodeSpec, read_spec
from virtfn_operator.clock import timestamp
from virtfn_operator.settings import AgentSettings

DONE, REFUSED = 0, 1


def run(settings: AgentSettings, given: BinaryIO | None = None, out: TextIO | None = None) -> int:
    """Read a request, print the answer; return 1 where the answer is an error."""
    machine = NodeMachine(
        host=HostClient(settings.host_socket),
        kubelet=PodResources(settings.podresources),
        files=PoolFiles(settings.pools, settings.ledger),
        patience=Patience(),
        domains=settings.resource_domains,
    )
    text = (given or sys.stdin.buffer).read(REQUEST_LIMIT + 1)
    version = importlib.metadata.version("virtfn")
    found = asyncio.run(answered(machine, text, version=version, domains=settings.resource_domains))
    print(json.dumps(found), file=out or sys.stdout, flush=True)
    return REFUSED if "error" in found else DONE


async def answered(machine: NodeMachine, request: bytes, *, version: str, domains: Domains) -> dict[str, object]:
    """Return the answer to a request."""
    try:
        generation, spec = _read(request, domains)
        found = await machine.look(asked_config(spec))
        if machine.asks:
            found = await machine.look(asked_config(spec))
    except CodecError as error:
        return dict(refusal(Reason.INVALID_POLICY, f"the request cannot be read: {error}"))
    except (HostRefused, HostUnreachable) as error:
        return dict(refusal(error.reason, str(error)))
    return answer(spec, generation, found, version=version, now=timestamp(), since_boot=since_boot())


def _read(request: bytes, domains: Domains) -> tuple[int, NodeSpec]:
    body = mapping(parse_json(request, limit=REQUEST_LIMIT))
    generation, spec = number(body.get("generation")), read_spec(mapping(body.get("spec")), domains)
    if generation is None or spec is None:
        raise CodecError("want generation, a number, and spec.policies, a list")
    return generation, spec
