"""Mounting on the host: an image or a tmpfs, in a kernel of this process, served until it is unmounted."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import string
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from rumpfs.abi import errno
from rumpfs.abi.mount import (
    MNT_RDONLY,
    TMPFS_ARGS,
    TMPFS_ARGS_VERSION,
    UFS_ARGS,
    UFS_REPLAY_AUTO,
    UFS_REPLAY_IGNORE,
    UFS_REPLAY_REFUSE,
    UFS_VALUE,
    UFS_VALUES,
)
from rumpfs.abi.stat import ALLPERMS
from rumpfs.base.address import AddressError, parse_image
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.base.registry import LoadError, solve
from rumpfs.cli import hostmounts
from rumpfs.cli.heldlog import held
from rumpfs.cli.hostmounts import HostMountError, Presence
from rumpfs.cli.mountopts import MountOptions
from rumpfs.cli.urlmount import start as start_url
from rumpfs.cli.urlsource import URL
from rumpfs.dev.image import open_image
from rumpfs.dev.window import Window
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.local import Local
from rumpfs.kern.sys_mount import sys_mount
from rumpfs.ondisk.disklabel import FS_BSDFFS
from rumpfs.ondisk.labelscan import find_label
from rumpfs.server import notify
from rumpfs.server.daemonize import Daemon, daemonize_begin
from rumpfs.server.settle import settle

if TYPE_CHECKING:
    from rumpfs.fuse.face import Face
    from rumpfs.fuse.nodes import Shown
    from rumpfs.server.server import Server

log = logging.getLogger("rumpfs.mount")

#: what the drive is called in the kernel
_KEY: Final = b"/dev/image"
#: file system -> components of its kernel
_COMPONENTS: Final = {"ffs": ("rumpdev", "rumpdev_disk", "rumpfs_ffs"), "tmpfs": ("rumpfs_tmpfs",)}
#: values of -o replay= that the kernel has to be told; force is a flag
_REPLAYS: Final = {"ignore": UFS_REPLAY_IGNORE, "refuse": UFS_REPLAY_REFUSE}
#: new objects after which garbage is looked for: most of them are files that the host knows, and stay
_GARBAGE: Final = 50_000
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be mounted.

    Attributes:
        prog: how messages begin.
        fstype: ffs, tmpfs or url.
        source: IMAGE, IMAGE:PARTITION or IMAGE@OFFSET; for a tmpfs any word; a url, with a path or without.
        mountpoint: a directory of the host.
        options: what -o said.
        foreground: do not detach.
        force: clear a mount without a server that is in the way.
    """

    prog: str
    fstype: str
    source: str
    mountpoint: str
    options: MountOptions
    foreground: bool
    force: bool


def mount(job: Job) -> int:
    """Mount, detach, and serve until it is unmounted; return the exit status.

    The process in the foreground ends when the mount can be used, or with the reason why there is none.
    """
    logging.basicConfig(format=f"{job.prog}: %(levelname)s: %(message)s")
    try:
        mountpoint = prepare(job.mountpoint, job.force)
    except HostMountError as error:
        return _failed(job, str(error))
    daemon = None if job.foreground else daemonize_begin()
    try:
        kernel, face = _start(job, mountpoint) if job.fstype != URL else (None, start_url(job, mountpoint))
    except HostMountError as error:
        status = _failed(job, str(error))
        if daemon is not None:
            daemon.done(status)
        return status
    presence = Presence(mountpoint)
    settle()
    gc.set_threshold(_GARBAGE)
    trio.run(_serve, face, daemon, job)
    notify.stopping(f"writing to {job.source}")
    face.close()
    failure = _halt(kernel) if kernel is not None else ""
    presence.close(failure)
    return _failed(job, failure) if failure else 0


def prepare(mountpoint: str, force: bool) -> str:
    """Check that the host can mount, and a mount point; return its absolute path. Errors: HostMountError."""
    hostmounts.fuse_device()
    _import_fuse()
    return hostmounts.check(mountpoint, force)


def _failed(job: Job, text: str) -> int:
    print(f"{job.prog}: {text}", file=sys.stderr)
    return 1


def _import_fuse() -> None:
    """Import what needs pyfuse3, while the user still sees it fail. Errors: HostMountError."""
    try:
        import rumpfs.fuse.face  # noqa: F401
    except ImportError as error:
        raise HostMountError(
            f"mounting on the host needs pyfuse3, which cannot be imported ({error}): "
            "pip install 'rumpfs[fuse]' builds it, with libfuse3-dev, pkg-config and a C compiler"
        ) from error


# --- the kernel -------------------------------------------------------------------------------------------


def _start(job: Job, mountpoint: str) -> tuple[Kernel, Face]:
    """Boot a kernel with the file system as its root, and mount that. Errors: HostMountError."""
    from rumpfs.fuse.face import Face, MountError
    from rumpfs.fuse.kernel_tree import KernelTree

    kernel = Kernel(os.cpu_count() or 1, None, False, _discard)
    try:
        components = solve(["rumpvfs", *_COMPONENTS[job.fstype]], bind_now=True)
    except LoadError as error:
        raise HostMountError(f"{error.name}: {error.reason}") from error
    for component in components:
        kernel.add(component)
    kernel.boot()
    try:
        if job.fstype == "tmpfs":
            writable = _mount_tmpfs(kernel, job, mountpoint)
        else:
            writable = _mount_image(kernel, job)
        face = Face(KernelTree(kernel), mountpoint, shown(job))
        face.mount(host_options(job.source, job.options, writable))
        hostmounts.read_ahead(mountpoint)
    except (MountError, HostMountError) as error:
        _halt(kernel)
        raise HostMountError(str(error)) from error
    return kernel, face


def _discard(data: bytes) -> None:
    """Nobody reads the console of such a kernel."""


def shown(job: Job) -> Shown:
    """Return how files are shown, as the options say."""
    from rumpfs.fuse.nodes import Shown

    options = job.options
    names = ["umask", "attr_timeout", "entry_timeout"]
    if job.fstype != "tmpfs":
        names += ["uid", "gid"]  # which a tmpfs can have for itself
    return Shown(**{name: options.values[name] for name in names if name in options.values})


def _mount_tmpfs(kernel: Kernel, job: Job, mountpoint: str) -> bool:
    """Mount a tmpfs; return whether for writing. Errors: HostMountError.

    Its root is like the mount point where nothing else is said (mount_tmpfs(8)).
    """
    if "overlay" in job.options.values:
        raise HostMountError("-o overlay= is for images; a tmpfs has none")
    facts = os.stat(mountpoint)
    like = {"uid": facts.st_uid, "gid": facts.st_gid, "mode": facts.st_mode & ALLPERMS, "size": 0, "nodes": 0}
    values = {name: job.options.values.get(name, value) for name, value in like.items()}
    args = TMPFS_ARGS.pack(
        TMPFS_ARGS_VERSION, *(values[name] for name in ("nodes", "size", "uid", "gid", "mode"))
    )
    try:
        _mount_root(kernel, Local(), "tmpfs", args, job.options.mount_flags(rw=True))
    except VfsError as error:
        raise HostMountError(f"tmpfs: {errno.strerror(error.errno)}") from error
    return job.options.writable(rw=True)


def _mount_root(kernel: Kernel, memory: Local, fstype: str, args: bytes, flags: int) -> None:
    """Mount a file system as the kernel's root. Errors: VfsError."""
    name, path = memory.string(fstype.encode()), memory.string(b"/")
    memory.run(sys_mount(kernel.initproc, name, path, flags, memory.map(args), len(args)))


def _mount_image(kernel: Kernel, job: Job) -> bool:
    """Open an image and mount what it holds; return whether for writing. Errors: HostMountError."""
    options = job.options
    window = open_source(job.source, options, readonly=not options.writable(rw=False))
    flags = options.mount_flags(rw=False) | (MNT_RDONLY if window.readonly else 0)
    try:
        kernel.etfs_register(_KEY, window)
        memory = Local()
        args = UFS_ARGS.pack(memory.string(_KEY))
        if replay := _REPLAYS.get(options.get("replay"), UFS_REPLAY_AUTO):
            args += UFS_VALUE.pack(UFS_VALUES["replay"], replay)
        with held():
            _mount_root(kernel, memory, "ffs", args, flags)
    except VfsError as error:
        why = error.why or f"{job.source}: {errno.strerror(error.errno)}"
        raise HostMountError(f"{why}{_remedy(job, why)}{_partitions(window)}") from error
    return not window.readonly


def _remedy(job: Job, why: str) -> str:
    """Return our own way to do what a message of the kernel says that fsck_ffs does; empty without it."""
    overlay = job.options.get("overlay")
    how = f"--overlay {overlay} " if overlay else ""
    return f" (rumpfs fsck {how}{job.source})" if "fsck_ffs" in why else ""


def open_source(source: str, options: MountOptions, readonly: bool) -> Window:
    """Open the image that a source means, or the part of it that the options mean.

    What the host does not let write is opened for reading, with a warning, as mount(8) does it.

    Args:
        source: its address.
        options: what -o says.
        readonly: do not ask for write permission.

    Errors:
        HostMountError: there is no such image or part; what is meant is said twice.
    """
    try:
        image = parse_image(source)
    except AddressError as error:
        raise HostMountError(str(error)) from error
    part, offset = options.values.get("partition", image.part), options.values.get("offset", image.offset)
    if image.part not in ("", part) or image.offset not in (0, offset):
        raise HostMountError(f"{source}: -o says another partition or offset")
    overlay, lock = options.values.get("overlay", ""), "nolock" not in options.values
    try:
        try:
            window = open_image(image.path, part, offset, readonly, overlay, lock)
        except VfsError as error:
            if readonly or overlay or error.errno not in (errno.EACCES, errno.EROFS):
                raise
            window = open_image(image.path, part, offset, True, lock=lock)
            log.warning("%s is write-protected, mounted read-only", image.path)
    except DiskError as error:
        raise HostMountError(str(error)) from error
    except VfsError as error:
        bare = error.why in ("", image.path)
        why = f"{image.path}: {errno.strerror(error.errno)}" if bare else error.why
        raise HostMountError(why) from error
    size = options.values.get("size", window.size)
    if not 0 < size <= window.size:
        window.close()
        raise HostMountError(f"-o size={size}: {source} has {window.size} bytes")
    window.size = size
    return window


def _partitions(window: Window) -> str:
    """Return a hint at the partitions of an image that was to be mounted whole; empty when it has none."""
    hostfile = window.hostfile
    if window.offset or window.size != hostfile.size:
        return ""
    try:
        found = find_label(hostfile.pread, hostfile.size, hostfile.path)
    except (DiskError, VfsError):
        return ""
    used = [
        f"{hostfile.path}:{letter}"
        for letter, partition in zip(string.ascii_lowercase, found.label.partitions, strict=False)
        if partition.p_fstype == FS_BSDFFS and partition.p_size
    ]
    return f"; its disklabel has partitions with an FFS: {', '.join(used)}" if used else ""


def host_options(source: str, options: MountOptions, writable: bool) -> set[str]:
    """Return libfuse's options of a mount.

    Args:
        source: what is mounted, as /proc/mounts shows it.
        writable: whether it is mounted for writing.
    """
    name = re.sub(r"([\\,])", r"\\\1", source).encode("ascii", "replace").decode()
    kept: Collection[str] = options.host
    return {f"fsname={name}", "subtype=rumpfs", "nosuid", "nodev", "rw" if writable else "ro", *kept}


class ServerFace:
    """What a server mounts on the host while it serves clients.

    Args:
        server: of the kernel.
        mountpoint: an absolute path of the host.
        path: the directory of the kernel that is mounted there.

    Errors:
        HostMountError.
    """

    def __init__(self, server: Server, mountpoint: str, path: bytes) -> None:
        from rumpfs.fuse.face import Face, MountError
        from rumpfs.fuse.kernel_tree import KernelTree
        from rumpfs.fuse.nodes import Shown

        self._hub = server.hub
        try:
            tree = KernelTree(server.kernel, path, whole=True)
        except VfsError as error:
            why = errno.strerror(error.errno)
            raise HostMountError(f"--fuse: {os.fsdecode(path)} in the kernel: {why}") from error
        self._face = Face(tree, mountpoint, Shown())
        try:
            self._face.mount(host_options(server.url, MountOptions(None, 0, {}, set()), writable=True))
        except MountError as error:
            raise HostMountError(str(error)) from error
        hostmounts.read_ahead(mountpoint)
        self._presence = Presence(mountpoint)

    async def run(self) -> None:
        """Serve until it is unmounted, and let go then, while the server goes on."""
        try:
            await self._face.run(company=self._hub)
        finally:
            self._face.close()
            self._presence.close()


# --- serving ----------------------------------------------------------------------------------------------


async def _serve(face: Face, daemon: Daemon | None, job: Job) -> None:
    """Serve until it is unmounted, or a signal comes; let the process in the foreground go at the start."""

    def started() -> None:
        notify.ready(f"{job.source} on {face.mountpoint}")
        if daemon is not None:
            os.chdir("/")
            _log_to_syslog(job.prog)
            daemon.done()

    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                async for _ in signals:
                    face.stop()

            nursery.start_soon(stop)
            await face.run(started)
            nursery.cancel_scope.cancel()


class _Syslog(logging.Handler):
    """Where the messages of a process go that has nobody to tell them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a message, a line of it at a time."""
        import syslog

        severe = record.levelno >= logging.ERROR
        for line in self.format(record).splitlines():
            syslog.syslog(syslog.LOG_ERR if severe else syslog.LOG_WARNING, line.replace("\0", "?"))


def _log_to_syslog(prog: str) -> None:
    import syslog

    syslog.openlog(prog, syslog.LOG_PID, syslog.LOG_DAEMON)
    logging.basicConfig(handlers=[_Syslog()], format="%(message)s", force=True)


def _halt(kernel: Kernel) -> str:
    """Unmount and close everything; return what went wrong, if anything did."""
    assert kernel.vfs is not None
    failure = ""
    try:
        kernel.vfs.unmount_all()
    except VfsError as error:
        failure = f"not everything could be written: {error.why or errno.strerror(error.errno)}"
    kernel.reboot(0)
    return failure
