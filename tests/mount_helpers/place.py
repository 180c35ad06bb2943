"""A private place: a mount namespace in which mount(8) finds our helpers, and nobody else does."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.conftest import PROJECT
from tests.fuse.mounts import BIN
from tests.fuse.mounts import why_not as why_no_fuse

TIMEOUT = 60
#: a user who is not root, and has nothing
NOBODY = 65534

#: The helpers are laid over /usr/sbin; what is mounted here is nowhere else, and gone with the last process.
_ENTER = """
set -eu
mount -t overlay overlay -o lowerdir="$PLACE/sbin:$INSTALLED/usr/sbin:$SBIN" "$SBIN"
cd "$PLACE"
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
status() { "$@" && echo status 0 || echo status $?; }
ours() { grep " $PLACE/.* fuse" /proc/self/mounts; }
trap 'ours | while read -r _ where _; do umount -i -l "$where"; done' EXIT
"""
#: Users may open the device of FUSE, and get at a Python that only root can see.
_FOR_USERS = """
mknod -m 666 fuse c 10 229
mount --bind fuse /dev/fuse
if [ "$HIDDEN" ]; then
    mkdir python
    mount --bind "$PYTHON" python
    mount -t tmpfs -o mode=755 tmpfs "$HIDDEN"
    mkdir -p "$PYTHON"
    mount --bind python "$PYTHON"
fi
"""


@functools.cache
def why_not() -> str | None:
    """Return why there cannot be such a place here, or None."""
    if os.geteuid():
        return f"a private mount namespace needs root, and this is uid {os.geteuid()}"
    if (reason := why_no_fuse()) is not None:
        return reason
    for program in ("unshare", "setpriv", "mount"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian package util-linux)"
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (
        f"nothing can be mounted in a namespace of its own: {done.stderr.strip()}"
        if done.returncode
        else None
    )


def install(what: str, destdir: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `mount_helpers/install`, as the Makefile does."""
    settings = {
        "DESTDIR": str(destdir), "PREFIX": "/usr/local", "SBINDIR": "/usr/sbin", "BINDIR": str(BIN),
        "RUMPFS": str(BIN / "rumpfs"), "PATH": os.environ["PATH"],
    }  # fmt: skip
    return subprocess.run(
        [PROJECT / "mount_helpers" / "install", what],
        env=settings | variables,
        capture_output=True,
        text=True,
        check=False,
    )


class Result(NamedTuple):
    """What a script printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def statuses(self) -> list[int]:
        """The exit statuses of what the script ran by `status`."""
        return [int(line.split()[1]) for line in self.out.splitlines() if line.startswith("status ")]


class Place:
    """Runs scripts in such a namespace; their directory is the place's.

    Args:
        path: an empty directory that everybody can search. What is in `sbin` there, mount(8) finds first.
        installed: where the helpers were installed.
    """

    def __init__(self, path: Path, installed: Path) -> None:
        self.path = path
        self.installed = installed
        (path / "mnt").mkdir()
        self.sbin = path / "sbin"
        self.sbin.mkdir()

    def run(self, script: str, users: bool = False, timeout: float = TIMEOUT) -> Result:
        """Run a script to its end.

        Args:
            users: whether it does something as `nobody`.
            timeout: seconds that it may take.
        """
        environ = {
            "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "SBIN": os.path.realpath("/sbin"),
            "PLACE": str(self.path), "INSTALLED": str(self.installed),
            "PYTHON": sys.base_prefix, "HIDDEN": hidden(Path(sys.base_prefix)),
        }  # fmt: skip
        words = ["unshare", "-m", "--propagation", "private", "sh", "-c"]
        done = subprocess.run(
            [*words, _ENTER + (_FOR_USERS if users else "") + script], env=environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)


def hidden(path: Path) -> str:
    """Return the outermost directory above a path that other users cannot search; empty when they can."""
    closed = [str(above) for above in reversed(path.parents) if not above.stat().st_mode & 0o001]
    return closed[0] if closed else ""
