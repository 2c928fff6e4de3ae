"""Writes and removes device-info files, in a folder that other programs use, too."""

import logging
import threading
from collections.abc import Callable

from virtfn_deviceplugin.grant.device_info import file_name, is_about
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.shared import SharedFileError, SharedFolder, digest
from virtfn_deviceplugin.grant.shown import GrantedFunction, SharedFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant

log = logging.getLogger("virtfn.deviceplugin")


class DeviceInfos:
    """The device-info files of this node; safe to use from several threads.

    A file is ours if it has the digest that the function's grant noted. Another program's is never changed.
    """

    def __init__(self, grants: GrantFile) -> None:
        self._grants = grants
        self._folder = None if grants.device_info is None else SharedFolder(grants.device_info, 0o444)
        self._lock = threading.Lock()
        self._told: set[str] = set()
        """Names of foreign files that were left and told of."""

    def put(self, function: GrantedFunction) -> tuple[str, Callable[[], None]]:
        """Write the file of a function. Return its digest, or nothing if there is no file of ours; and what undoes it.

        Raises:
            SharedFileError: it cannot be written, or another program's file says something else.
        """
        if self._folder is None or (file := function.device_info) is None:
            return "", lambda: None
        with self._lock:
            if self._is_foreign(self._folder, file, function.address):
                return "", lambda: None
            put_back = self._folder.write(file)
        return digest(file.text), lambda: self._undo(put_back)

    def _is_foreign(self, folder: SharedFolder, file: SharedFile, address: PciAddress) -> bool:
        """Return whether another program wrote this file, and says in it what we would say.

        Raises:
            SharedFileError: it says something else, so a pod would get the wrong function.
        """
        found = folder.read(file.name)
        noted = self._grants.of(address)
        if found is None or digest(found) in (digest(file.text), noted and noted.device_info):
            return False
        if not is_about(found, address):
            text = f"{folder.path / file.name} was written by another program and is not about {address}"
            raise SharedFileError(f"{text}; find out which program writes it, then remove it")
        self._tell(folder, file.name)
        return True

    def _undo(self, put_back: Callable[[], None]) -> None:
        try:
            with self._lock:
                put_back()
        except SharedFileError as error:
            log.warning("%s", error)

    def restore(self, grant: Grant, file: SharedFile) -> None:
        """Write the file of an earlier grant again if a reboot took it; log a failure.

        A file that would say something else than what the grant noted is left to the next request.
        """
        if self._folder is None or grant.device_info != digest(file.text):
            return
        try:
            with self._lock:
                if self._folder.read(file.name) is None:
                    self._folder.write(file)
        except SharedFileError as error:
            log.warning("%s", error)

    def remove(self, grant: Grant) -> bool:
        """Remove the file of a grant, unless another program wrote it. Return False if it stays: that is logged, or
        there is no folder now, and it must stay noted until there is one again."""
        if self._folder is None or not grant.device_info:
            return not grant.device_info
        name = file_name(grant.resource_name, grant.address)
        try:
            with self._lock:
                found = self._folder.read(name)
                if found is not None and digest(found) != grant.device_info:
                    self._tell(self._folder, name)
                elif found is not None:
                    self._folder.remove(name)
        except SharedFileError as error:
            log.warning("%s", error)
            return False
        return True

    def _tell(self, folder: SharedFolder, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("%s was written by another program; it is left as it is", folder.path / name)
