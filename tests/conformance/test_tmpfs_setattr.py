"""Setting attributes (NetBSD: tests/fs/tmpfs/t_setattr.sh)."""

from __future__ import annotations

import struct

from rumpfs.abi.stat import S_IFDIR
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_setattr"

SAME = 0xFFFFFFFF  # uid or gid -1


def notes_of(fs: Volume, call: str, *args: object) -> set[str]:
    """Make a directory, and a call that is given its path; return what is told of it."""
    fs.call("mkdir", b"dir", 0o777)
    watch = Watch(fs, b"dir")
    fs.call(call, b"dir", *args)
    return {note for _, note in watch.notes()}


def test_chown(fs: Volume) -> None:
    fs.call("mkdir", b"own", 0o777)
    group = fs.stat(b"own").gid
    fs.call("chown", b"own", 1234, SAME)
    assert (fs.stat(b"own").uid, fs.stat(b"own").gid) == (1234, group)


def test_chown_kqueue(fs: Volume) -> None:
    assert notes_of(fs, "chown", 1234, SAME) == {"NOTE_ATTRIB"}


def test_chgrp(fs: Volume) -> None:
    fs.call("mkdir", b"grp", 0o777)
    owner = fs.stat(b"grp").uid
    fs.call("chown", b"grp", SAME, 5678)
    assert (fs.stat(b"grp").uid, fs.stat(b"grp").gid) == (owner, 5678)


def test_chgrp_kqueue(fs: Volume) -> None:
    assert notes_of(fs, "chown", SAME, 1234) == {"NOTE_ATTRIB"}


def test_chowngrp(fs: Volume) -> None:
    fs.call("mkdir", b"owngrp", 0o777)
    fs.call("chown", b"owngrp", 1234, 5678)
    assert (fs.stat(b"owngrp").uid, fs.stat(b"owngrp").gid) == (1234, 5678)


def test_chowngrp_kqueue(fs: Volume) -> None:
    assert notes_of(fs, "chown", 1234, 5678) == {"NOTE_ATTRIB"}


def test_chmod(fs: Volume) -> None:
    fs.call("mkdir", b"mode", 0o777)
    fs.call("chmod", b"mode", 0)
    assert fs.stat(b"mode").mode == S_IFDIR


def test_chmod_kqueue(fs: Volume) -> None:
    assert notes_of(fs, "chmod", 0) == {"NOTE_ATTRIB"}


def test_chtimes(fs: Volume) -> None:
    fs.call("mkdir", b"times", 0o777)
    fs.call("__utimes50", b"times", struct.pack("<qi4xqi4x", 1104541260, 0, 1104541260, 0))
    assert (fs.stat(b"times").atime, fs.stat(b"times").mtime) == (1104541260, 1104541260)


def test_chtimes_kqueue(fs: Volume) -> None:
    assert notes_of(fs, "__utimes50", None) == {"NOTE_ATTRIB"}
