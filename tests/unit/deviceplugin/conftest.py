"""A plugin between a fake kernel's tree and a fake kubelet."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from plugin_node import Node, plugin_node

from virtfn_deviceplugin import manager as manager_module


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """Two PFs with three VFs each on vfio-pci, a kubelet, and a running plugin that looks more often than usual."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.05)
    monkeypatch.setattr(manager_module, "WHOLE_LOOK", 30)
    async with plugin_node(tmp_path) as made:
        yield made
