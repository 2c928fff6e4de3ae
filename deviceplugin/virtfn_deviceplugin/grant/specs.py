"""Writes and removes CDI specs, in the folder that container runtimes watch."""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial

from virtfn_deviceplugin.grant.cdi import NO_FOLDER, TAKEN, file_names, specs_of
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.shared import SharedFileError, SharedFolder
from virtfn_deviceplugin.grant.shown import SharedFile
from virtfn_host.core.values.offered import Grant

log = logging.getLogger("virtfn.deviceplugin")


class Specs:
    """The CDI specs of this node; safe to use from several threads. Their names are ours: they begin with `virtfn-`."""

    def __init__(self, grants: GrantFile, boot_id: str) -> None:
        self._folder = None if grants.cdi is None else SharedFolder(grants.cdi, 0o644)
        self._boot_id = boot_id
        self._lock = threading.Lock()

    def put(self, files: Iterable[SharedFile]) -> Callable[[], None]:
        """Write the specs of a function, and return what undoes that.

        Raises:
            SharedFileError: one cannot be written, or there is no folder for them; none is written.
        """
        with ExitStack() as undo:
            for file in files:
                undo.callback(self._logged, self._write(file))
            return undo.pop_all().close

    def _write(self, file: SharedFile) -> Callable[[], None]:
        if self._folder is None:
            raise SharedFileError(NO_FOLDER)
        with self._lock:
            return self._folder.write(file)

    def restore(self, grant: Grant) -> None:
        """Write the specs of an earlier grant again, if a reboot took them. Its nodes must be as they were.

        Without a folder those of this boot are where they were: they are written before a container is given them.

        Raises:
            SharedFileError: one cannot be written, or a reboot took them and there is no folder now.
        """
        files = specs_of(grant)
        if self._folder is not None:
            self.put(files)
        elif files and grant.boot_id != self._boot_id:
            raise SharedFileError(TAKEN)

    def remove(self, grant: Grant, keep: Iterable[SharedFile] = ()) -> bool:
        """Remove the specs of a grant, but for those to keep. Return False if one stays: that is logged, or there is no
        folder now, and they must stay noted until there is one again."""
        if self._folder is None or not grant.specs:
            return not grant.specs
        kept = {file.name for file in keep}
        names = [name for name in file_names(grant.resource_name, grant.address) if name not in kept]
        removed = [self._logged(partial(self._folder.remove, name)) for name in names]
        return all(removed)

    def _logged(self, change: Callable[[], None]) -> bool:
        try:
            with self._lock:
                change()
        except SharedFileError as error:
            log.warning("%s", error)
            return False
        return True
