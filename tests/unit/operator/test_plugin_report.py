"""The file in which the device plugin tells of itself, as the agent reads it: what is wrong with it is a text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_deviceplugin.telling import Telling
from virtfn_host.core.values.offered import Registration
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.not_offered import PluginReport

ONE = Registration(resource_name="virtfn.dev/fast", registered=True, since=5.0, refusal="", healthy=3)


def files(folder: Path) -> PoolFiles:
    return PoolFiles(folder / "pools.json", folder / "ledger.json")


async def test_what_the_plugin_tells_is_read(tmp_path: Path) -> None:
    telling = Telling(tmp_path / "registrations.json", "b1", lambda: 7.0)
    telling.tell([ONE], complaint="no pool file")
    report = await files(tmp_path).plugin()
    assert report.told is not None
    assert (report.told.registrations, report.told.complaint, report.told.at) == ((ONE,), "no pool file", 7.0)
    telling.remove()
    assert await files(tmp_path).plugin() == PluginReport()


def garbled(path: Path) -> None:
    path.write_text("half a regis")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def for_all(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("spoil", [garbled, a_folder, for_all])
async def test_one_that_cannot_be_trusted_is_told_and_raises_nothing(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    Telling(tmp_path / "registrations.json", "b1").tell([ONE])
    spoil(tmp_path / "registrations.json")
    report = await files(tmp_path).plugin()
    assert report.told is None
    assert "registrations.json" in report.error
