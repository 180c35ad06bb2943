"""Errors say which number they are, and what is wrong where."""

from __future__ import annotations

from rumpfs.abi.errno import EINVAL, EIO, ENOENT
from rumpfs.base.errors import BadChecksum, BadMagic, Corrupt, DiskError, VfsError


def test_a_vfs_error() -> None:
    assert str(VfsError(ENOENT)) == "ENOENT (No such file or directory)"
    assert str(VfsError(EINVAL, "why not")) == "EINVAL: why not"
    assert VfsError(ENOENT, "x").errno == ENOENT
    assert str(VfsError(12345, "x")) == "12345: x"


def test_disk_errors_become_numbers_at_the_edge() -> None:
    # DESIGN: EIO for damage that is met later, EINVAL for what is no such thing at all
    assert DiskError("a", "b").errno == Corrupt("a", "f", 1, "r").errno == EIO
    assert BadMagic("a", "b").errno == BadChecksum("a", "b").errno == EINVAL
    assert all(issubclass(kind, DiskError) for kind in (BadMagic, BadChecksum, Corrupt))


def test_damage_names_its_place_and_its_field() -> None:
    error = Corrupt("disk.img: inode 7 at byte 4096", "di_size", -1, "a size is not negative")
    assert str(error) == "disk.img: inode 7 at byte 4096: di_size is -1: a size is not negative"
    assert (error.where, error.field, error.got) == ("disk.img: inode 7 at byte 4096", "di_size", -1)
