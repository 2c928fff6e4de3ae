"""The agent reads answers of the host process as strictly as it reads requests: a known word, or HostUnreachable."""

import asyncio
from pathlib import Path

import pytest

from virtfn_host.core.values.steps import Plan
from virtfn_host.process.client import HostClient, HostUnreachable

NOTHING = Plan(pfs=())


@pytest.mark.parametrize(
    "answer",
    [
        b'{"error": {"reason": "NoSuchReason", "message": "x"}}\n',
        b'{"error": {}}\n',
        b'{"error": null}\n',
        b'{"error": [1]}\n',
        b'{"report": {"results": [1]}}\n',
        b'{"result": 1}\n',
        b'{"observation": {}}\n',
        b'{"pong": null}\n',
        b"[" * 5000 + b"\n",
        b'{"observation": NaN}\n',
        b"\xff\n",
        b"\n",
        b"x" * 100,
    ],
    ids=lambda text: repr(text[:30]),
)
async def test_what_is_no_answer_is_one_word_to_the_agent(tmp_path: Path, answer: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    path = tmp_path / "host.sock"
    async with await asyncio.start_unix_server(say, path):
        with pytest.raises(HostUnreachable):
            await HostClient(path).observe()
        with pytest.raises(HostUnreachable):
            await HostClient(path).apply(NOTHING)
        with pytest.raises(HostUnreachable):
            await anext(HostClient(path).watch())
