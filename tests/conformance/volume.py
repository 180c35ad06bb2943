"""A file system under test: made, mounted on ``/mnt``, changed, and unmounted at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rumpfs.abi.mount import MNT_FORCE, MNT_GETARGS, MNT_RDONLY, MNT_UPDATE, TMPFS_ARGS_VERSION
from rumpfs.base.errors import VfsError
from tests.conformance.filesystems import Kind
from tests.conformance.system import System


class Volume:
    """A new file system.

    Args:
        system: the kernel.
        kind: its type.
        size: bytes of its image, or its limit.

    Attributes:
        mp: where it is mounted.
        p: a process of root, whose working directory that is while it is mounted.
    """

    mp = b"/mnt"

    def __init__(self, system: System, kind: Kind, size: int) -> None:
        self.system = system
        self.kind = kind
        self.size = size
        self.mounted = False
        self._init = system.process()
        self.p = system.process()
        assert self._init.error("mkdir", self.mp, 0o777) in ("ok", "EEXIST")
        kind.newfs(system, size, {})

    def __getattr__(self, name: str) -> Any:
        """Make calls as `p`: `fs.call`, `fs.error`, `fs.stat` and so on."""
        return getattr(self.p, name)

    def mount(self, flags: int = 0, **args: int) -> None:
        """Mount it, and go there; `args` are fields of struct tmpfs_args."""
        self.kind.mount(self._init, self.mp, flags, **args)
        self.mounted = True
        self.p.call("chdir", self.mp)

    def mount_read_only(self, files: Mapping[str, bytes]) -> None:
        """Mount it read-only, with files in its root."""
        if self.kind.survives:
            self.kind.newfs(self.system, self.size, files)
        if self.kind.survives or not files:
            self.mount(MNT_RDONLY)
            return
        self.mount()
        for name, content in files.items():
            self.p.make(name.encode(), content, 0o755)
        self.remount(MNT_RDONLY)

    def remount(self, flags: int) -> None:
        """Change the mount's flags; its arguments stay, which MNT_GETARGS tells. Errors: VfsError."""
        fstype = self.kind.fstype + b"\0"
        path = self.kind.updated(self.mp) + b"\0"
        args = bytearray(4095)
        args[0] = TMPFS_ARGS_VERSION  # other types do not look at it
        length = self._init.call("__mount50", fstype, path, MNT_GETARGS, args, len(args))
        flags |= MNT_UPDATE
        self._init.call("__mount50", fstype, path, flags, bytes(args[:length]), length)

    def unmount(self, flags: int = 0) -> None:
        """Leave it, and unmount it. Errors: VfsError: EBUSY."""
        self.p.call("chdir", b"/")
        self.kind.unmount(self._init, self.mp, flags)
        self.mounted = False

    def process(self) -> Any:
        """Return a further process of root in it."""
        p = self.system.process()
        p.call("chdir", self.mp)
        return p

    def user(self, uid: int, gid: int | None = None) -> Any:
        """Return a process of a user in it, in one group (its number, when it is omitted)."""
        return self.system.user(self.p, uid, gid)

    def finish(self) -> None:
        """Unmount it when it is mounted: nothing may be in use any more once all processes are gone."""
        self.system.exit_all(but=self._init)
        if not self.mounted:
            return
        try:
            self.kind.unmount(self._init, self.mp, 0)
        except VfsError:
            self.kind.unmount(self._init, self.mp, MNT_FORCE)
            raise
        self.kind.check(self.system)
