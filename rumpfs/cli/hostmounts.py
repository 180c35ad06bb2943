"""Mounts on the host: where they are, whether somebody serves them, and the way to end them.

A process that serves a mount listens on a socket with an abstract name that is made of the mount's device
number and of the time. It answers only at its end, when the image is closed, and then with what went wrong.
By then the host may have given the number to another mount: of several names the latest is that of the mount
that has the number now.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

_MOUNTINFO: Final = "/proc/self/mountinfo"
#: the names of all sockets; an abstract one begins with @ here (proc(5))
_SOCKETS: Final = "/proc/net/unix"
#: KiB; the host's own 128 make a request of each 128 KiB of a file
READ_AHEAD_KB: Final = 1024
#: what a mount answers whose server is gone, or just went
_DEAD: Final = (errno.ENOTCONN, errno.ECONNABORTED)
_ucred: Final = struct.Struct("3i")
#: longest message that a process leaves
_MESSAGE_MAX: Final = 4096
#: seconds for which a server may go on before it is looked for what keeps it
_PATIENCE: Final = 2.0


class HostMountError(Exception):
    """A mount point cannot be used, or not be unmounted; the text says why, and what helps."""


class HostMount(NamedTuple):
    """A mounted file system of the host: its device number, its type and what is mounted."""

    device: str
    fstype: str
    source: str


def absolute(path: str) -> str:
    """Return a mount point's path as the host has it, without asking the file system that is mounted."""
    path = os.path.abspath(path)
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def find(mountpoint: str) -> HostMount | None:
    """Return what is mounted on an absolute path, the latest of several; None when nothing is."""
    return dict(_mounts(_MOUNTINFO)).get(mountpoint)


def _mounts(mountinfo: str) -> Iterator[tuple[str, HostMount]]:
    """Yield where something is mounted, and what, the latest last, as a file of /proc says (proc(5))."""
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            words = fields.split(" ")
            if len(words) > 4:
                fstype, source = [*rest.split(" "), "", ""][:2]
                yield _plain(words[4]), HostMount(words[2], fstype, _plain(source))


def _plain(text: str) -> str:
    """Return a word without the octal escapes of /proc."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


# --- before mounting --------------------------------------------------------------------------------------


def check(mountpoint: str, force: bool) -> str:
    """Check a mount point and return its absolute path.

    Args:
        force: clear a mount whose server is gone.

    Errors:
        HostMountError.
    """
    try:
        facts = os.stat(mountpoint)
        mount = find(absolute(mountpoint))
        if mount is not None and mount.fstype == "fuse.rumpfs":
            os.statvfs(mountpoint)  # the attributes the host may still know
    except OSError as error:
        if error.errno not in _DEAD:
            raise HostMountError(f"{mountpoint}: {error.strerror}") from error
        if not force:
            raise HostMountError(
                f"{mountpoint}: what was mounted there has lost its server; "
                f"fusermount3 -u -z {mountpoint} clears it, and so does --force"
            ) from error
        _unmount(absolute(mountpoint), lazy=True)
        return check(mountpoint, force=False)
    if not os.path.isdir(mountpoint):
        raise HostMountError(f"{mountpoint}: not a directory (its mode is {facts.st_mode:o})")
    return absolute(mountpoint)


def fuse_device() -> None:
    """Check that the host has FUSE. Errors: HostMountError."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        hint = ": modprobe fuse" if isinstance(error, FileNotFoundError) else ""
        if not (isinstance(error, PermissionError) and os.geteuid()):
            raise HostMountError(f"/dev/fuse: {error.strerror}{hint}") from error


# --- while it is mounted ----------------------------------------------------------------------------------


def _prefix(device: str) -> str:
    return f"rumpfs-mount-{device}-"


def _serving(device: str) -> int:
    """Return the number of who serves the mount that has a device number, the time he began; 0: nobody."""
    mark = "@" + _prefix(device)
    with open(_SOCKETS, encoding="utf-8", errors="replace") as lines:
        numbers = [line.rpartition(mark)[2].strip() for line in lines if mark in line]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def read_ahead(mountpoint: str) -> None:
    """Let the host read ahead further than it does by itself, if it lets us (sysfs-class-bdi).

    Args:
        mountpoint: an absolute path.
    """
    mount = find(mountpoint)
    if mount is not None:
        with suppress(OSError), open(f"/sys/class/bdi/{mount.device}/read_ahead_kb", "w") as file:
            file.write(str(READ_AHEAD_KB))


class Presence:
    """The serving process's side: who unmounts hears from it when everything is closed.

    Args:
        mountpoint: an absolute path, on which it has just mounted.
    """

    def __init__(self, mountpoint: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        mount = find(mountpoint)
        if mount is not None:
            self._socket.bind(f"\0{_prefix(mount.device)}{time.monotonic_ns()}")
            self._socket.listen()
        self._socket.setblocking(False)

    def close(self, message: str = "") -> None:
        """Tell who waits that everything is closed, or what went wrong."""
        with self._socket, suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                with peer, suppress(BrokenPipeError):  # it has given up since
                    peer.sendall(os.fsencode(message)[:_MESSAGE_MAX])


# --- the end ----------------------------------------------------------------------------------------------


def unmount(path: str, force: bool, lazy: bool = False) -> None:
    """Unmount, and return when the server has flushed and closed everything and is gone.

    Args:
        path: the mount point.
        force: end the server even if files are in use.
        lazy: do not wait: files in use stay so, and the server goes when nobody uses them any more.

    Errors:
        HostMountError.
    """
    mountpoint = absolute(path)
    mount = find(mountpoint)
    if mount is None:
        raise HostMountError(f"{path}: nothing is mounted there")
    if mount.fstype != "fuse.rumpfs":
        raise HostMountError(f"{path}: that is a {mount.fstype}, not a mount of rumpfs")
    if lazy and not force:
        _unmount(mountpoint, lazy=True)
        return
    number = _serving(mount.device)
    with socket.socket(socket.AF_UNIX) as server:
        pid = _server(server, mount, number)
        if force and pid:
            os.kill(pid, signal.SIGTERM)
        else:
            _unmount(mountpoint, lazy=not pid)
        message = _last_words(server, mount, number) if pid else b""
    if message:
        raise HostMountError(f"{path}: {os.fsdecode(message)}")


def _last_words(server: socket.socket, mount: HostMount, number: int) -> bytes:
    """Wait for the end of a server and return what it says then; nothing when all went well.

    Args:
        number: of the server.

    Errors:
        HostMountError: its mount is still in use elsewhere.
    """
    server.settimeout(_PATIENCE)
    message = b""
    while True:
        try:
            piece = server.recv(_MESSAGE_MAX)
        except ConnectionResetError:
            return b"its server died; what it had not written to the image is lost"
        except TimeoutError:
            _check_elsewhere(mount, number)
            continue
        if not piece:
            return message
        message += piece


def _check_elsewhere(mount: HostMount, number: int) -> None:
    """Check that a mount is not there under another name, or in another namespace.

    Args:
        number: of its server; when another one serves what has the device number now, that is another mount.

    Errors:
        HostMountError.
    """
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            for where, found in _mounts(f"/proc/{pid}/mountinfo"):
                if found == mount and _serving(mount.device) == number:
                    raise HostMountError(
                        f"unmounted here, but it is still on {where} as process {pid} sees it, "
                        "and as long as that is so its image is in use"
                    )


def _server(sock: socket.socket, mount: HostMount, number: int) -> int:
    """Connect to the server with a number, of a mount; return its process, or 0 when there is none."""
    try:
        sock.connect(f"\0{_prefix(mount.device)}{number}")
    except OSError:
        return 0
    pid, uid, _ = _ucred.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _ucred.size))
    if os.geteuid() and uid != os.geteuid():
        raise HostMountError(f"{mount.source} was mounted by user {uid}, who may unmount it, and so may root")
    return int(pid)


def _unmount(mountpoint: str, lazy: bool) -> None:
    """Unmount with the host's program. Errors: HostMountError."""
    import subprocess  # which takes longer to import than all of this

    if os.geteuid() == 0:
        command = ["umount", "-i", *(["-l"] if lazy else []), mountpoint]  # not by way of our own helper
    else:
        command = ["fusermount3", "-u", *(["-z"] if lazy else []), mountpoint]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise HostMountError(f"{mountpoint}: cannot unmount: there is no {command[0]}") from error
    if done.returncode:
        why = os.fsdecode(done.stderr).strip() or f"{command[0]} failed with status {done.returncode}"
        hint = " rumpfs umount -f ends it all the same" if "busy" in why else ""
        raise HostMountError(f"{why}{hint}")
