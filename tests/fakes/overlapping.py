"""A kubelet from 1.37 on, which tells plugins of one resource apart by their sockets, so that two may overlap.

The one that registered last is asked. When its stream ends, another one takes its place; only the end of the last one
takes the devices away (pkg/kubelet/cm/devicemanager/manager.go of 1.37.2, PluginConnected and PluginDisconnected).
"""

import asyncio

from kubelet import FakeKubelet, _Plugin

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire


class OverlappingKubelet(FakeKubelet):
    """Counts how often a resource was without a plugin."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.known: dict[str, list[_Plugin]] = {}
        self.without = 0
        """How often the last plugin of a resource has ended."""

    async def Register(self, request: wire.RegisterRequest, context: object) -> wire.Empty:  # noqa: N802
        answer = await super().Register(request, context)  # type: ignore[arg-type]
        plugin = self.plugins.get(request.resource_name)
        if plugin is not None:
            self.known.setdefault(request.resource_name, []).append(plugin)
        return answer

    async def _watch(self, plugin: _Plugin) -> None:
        await super()._watch(plugin)
        for name, plugins in self.known.items():
            if plugin in plugins:
                plugins.remove(plugin)
                if plugins and self.plugins.get(name) is plugin:
                    self.plugins[name] = plugins[0]
                self.without += not plugins
        await self._tell()

    def health(self, resource: str) -> dict[str, str]:
        """Return the last list of any plugin: it stays until the last one ends."""
        lists = (plugin.health for plugin in reversed(self.known.get(resource, [])))
        return next((health for health in lists if health is not None), super().health(resource))

    def count(self, resource: str) -> int:
        """Return how many plugins this resource has now."""
        return len(self.known.get(resource, ()))

    async def stop(self) -> None:
        """End like a process: also connections to plugins that are not asked."""
        for plugin in [one for plugins in self.known.values() for one in plugins]:
            if plugin.task is not None:
                plugin.task.cancel()
                await asyncio.gather(plugin.task, return_exceptions=True)
            await plugin.channel.close(None)
        await super().stop()
