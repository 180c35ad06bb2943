"""Real mounts, made with the real commands, and gone at the end whatever happens."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BIN = Path(sys.executable).parent
TIMEOUT = 30.0


def why_not() -> str | None:
    """Return why nothing can be mounted here, or None."""
    if importlib.util.find_spec("pyfuse3") is None:
        return "the Python package pyfuse3 is not installed (make setup builds it)"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse (modprobe fuse)"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    if os.geteuid():
        helper = shutil.which("fusermount3")
        if helper is None:
            return "fusermount3 is not installed (Debian package fuse3; make setup installs it)"
        if not os.stat(helper).st_mode & stat.S_ISUID:
            return f"{helper} is not set-user-ID, so only root can mount"
    return None


def command(*words: str, timeout: float = TIMEOUT, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run one of the package's commands."""
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=timeout, **kwargs
    )


def is_mounted(mountpoint: Path) -> bool:
    with open("/proc/self/mounts") as mounts:
        return any(line.split(" ")[1] == str(mountpoint) for line in mounts)


def clear(mountpoint: Path) -> None:
    """Take away whatever is left of a mount."""
    while is_mounted(mountpoint):
        how = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*how, str(mountpoint)], check=True)


@contextmanager
def mounted(program: str, *words: str, mountpoint: Path) -> Iterator[Path]:
    """Mount with a command; unmount with `rumpfs umount`, which has to succeed."""
    mountpoint.mkdir(exist_ok=True)
    try:
        done = command(*program.split(), *words, str(mountpoint))
        assert done.returncode == 0, done.stderr
        yield mountpoint
        done = command("rumpfs", "umount", str(mountpoint))
        assert (done.returncode, done.stderr) == (0, "")
        assert not is_mounted(mountpoint)
    finally:
        clear(mountpoint)


@contextmanager
def served(code: str, mountpoint: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Run a program that mounts and prints "mounted", and ends when it is unmounted.

    It has a function `serve(tree, mountpoint)`, and `kernel()`, which boots one with a tmpfs as its root.
    """
    mountpoint.mkdir(exist_ok=True)
    program = f"{PRELUDE}\n{code}\nserve(tree(kernel()), {str(mountpoint)!r})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "mounted\n", process.communicate()[1]
        yield mountpoint, process
    finally:
        clear(mountpoint)
        with suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT)
        process.kill()
        process.communicate()


PRELUDE = """
import trio
from rumpfs.abi.mount import TMPFS_ARGS
from rumpfs.base.registry import solve
from rumpfs.fuse.face import Face
from rumpfs.fuse.kernel_tree import KernelTree
from rumpfs.fuse.nodes import Shown
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.local import Local
from rumpfs.kern.sys_mount import sys_mount

def kernel():
    made = Kernel(1, None, False, lambda data: None)
    for component in solve(["rumpvfs", "rumpfs_tmpfs"], bind_now=True):
        made.add(component)
    made.boot()
    memory = Local()
    args = TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o777)
    where = memory.string(b"tmpfs"), memory.string(b"/")
    memory.run(sys_mount(made.initproc, *where, 0, memory.map(args), len(args)))
    return made

def serve(tree, mountpoint):
    face = Face(tree, mountpoint, Shown())
    face.mount(["subtype=rumpfs"])
    trio.run(face.run, lambda: print("mounted", flush=True))
    face.close()

tree = KernelTree
"""
