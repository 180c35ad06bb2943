"""From options to a running kernel: components, modules, drives (NetBSD: rump_allserver.c)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rumpfs.abi import errno
from rumpfs.base.component import Component
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import unresolved
from rumpfs.cli.options import Options
from rumpfs.dev.drive import DriveError, OpenedDrive, open_drive
from rumpfs.dev.drivespec import DriveSpec, DriveType
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.kern import rumpblk
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.module_vfs import MODULE_DIR, SUFFIX

#: Where a module file is in the kernel while it is loaded.
MODULE_KEY = b"/module.mod"

#: The component without which etfs's devices have no driver.
DISK_COMPONENT = "rumpdev_disk"


class StartError(Exception):
    """The server does not start.

    Args:
        reason: what failed, in the C program's words.
        number: NetBSD error number: its text follows the reason.
        detail: the circumstances and what helps, for a line of its own; may be empty.
        status: exit status of the process in the foreground; the error number when None.
    """

    def __init__(self, reason: str, number: int, detail: str = "", status: int | None = None) -> None:
        super().__init__(f"{reason}: {errno.strerror(number)}" + (f"\n  {detail}" if detail else ""))
        self.status = number if status is None else status


def boot(options: Options, components: Sequence[Component]) -> Kernel:
    """Return a kernel with its components initialised, its modules loaded and its drives registered.

    Raises:
        StartError: the step that failed.
    """
    kernel = Kernel(options.ncpu, options.total_ram, options.verbose, console)
    for component in components:
        kernel.add(component)
    try:
        kernel.boot()
    except VfsError as error:
        raise StartError("rump init failed", error.errno, error.why) from error
    if DISK_COMPONENT not in kernel.components:
        rumpblk.attach_missing(kernel, DISK_COMPONENT)
    for required, users in unresolved(components).items():
        kernel.print_verbose(f"component {required} is not loaded, and {', '.join(users)} may need it")
    kernel.modules.directory = options.module_dir
    for name in options.modules:
        load_module(kernel, name)
    for spec in options.drives:
        register_drive(kernel, spec)
    return kernel


def load_module(kernel: Kernel, name: str) -> None:
    """Load a module file of the host through the kernel's own file system and modctl.

    Args:
        name: a path, or the name of a module in `MODULE_DIR`.

    Raises:
        StartError: ``module etfs register failed``, ``module load failed``.
    """
    reason = "module etfs register failed"
    if kernel.vfs is None:
        raise StartError(reason, errno.ENOSYS, "-m needs the component rumpvfs (add -lrumpvfs)")
    path = _module_path(name)
    if path is None:
        raise StartError(reason, errno.ENOENT, f"{name}: {_shipped()}")
    try:
        hostfile = HostFile.open(path, readonly=True)
        _register(kernel, MODULE_KEY, Window(hostfile, 0, hostfile.size, readonly=True), "reg")
    except VfsError as error:
        raise StartError(reason, error.errno, error.why) from error
    try:
        kernel.modules.load(MODULE_KEY)
    except VfsError as error:
        detail = error.why.replace(os.fsdecode(MODULE_KEY), path)
        raise StartError("module load failed", error.errno, detail) from error
    finally:
        kernel.etfs_remove(MODULE_KEY)
    kernel.print_verbose(f"module {path} loaded")


def _module_path(name: str) -> str | None:
    candidates = [name]
    if "/" not in name:
        candidates += [os.path.join(MODULE_DIR, name), os.path.join(MODULE_DIR, name + SUFFIX)]
    # Of a directory or the like the kernel says what is wrong with it.
    return next(filter(os.path.isfile, candidates), name if os.path.exists(name) else None)


def _shipped() -> str:
    names = sorted(name for name in os.listdir(MODULE_DIR) if name.endswith(SUFFIX))
    return f"no such file. The modules that come with rumpfs are in {MODULE_DIR}: {', '.join(names)}"


def register_drive(kernel: Kernel, spec: DriveSpec) -> None:
    """Open a drive and register its key.

    Raises:
        StartError: with the reason of the step that failed, and its host error number as the status.
    """
    try:
        drive = open_drive(spec)
    except DriveError as error:
        raise StartError(error.reason, error.errno, error.why, error.host_errno) from error
    try:
        _register(kernel, spec.key, drive.window, spec.type)
    except VfsError as error:
        raise StartError("etfs register", error.errno, error.why) from error
    for warning in drive.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    kernel.print_verbose(_describe(drive))


def _register(kernel: Kernel, key: bytes, window: Window, kind: DriveType) -> None:
    """Register a window, or close it. Errors: VfsError."""
    try:
        kernel.etfs_register(key, window, kind)
    except VfsError:
        window.close()
        raise


def _describe(drive: OpenedDrive) -> str:
    window = drive.window
    size = f"{window.size} bytes" if window.size else "all"
    words = [
        f"drive {os.fsdecode(drive.spec.key)}: {drive.spec.hostpath}, {size} from byte {window.offset}",
        drive.label,
        drive.spec.type,
        "read-only" if window.readonly else "",
    ]
    return ", ".join(filter(None, words))


def console(data: bytes) -> None:
    """Write to the server's standard output; what nobody takes there (a closed pipe) is lost."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return
