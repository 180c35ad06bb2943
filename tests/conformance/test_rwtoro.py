"""Making a mount read-only while files are open (NetBSD: tests/fs/vfs/t_rwtoro.c)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import F_CLOSEM, O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.base.errors import VfsError
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_rwtoro"

#: where the layer is mounted
LAYER = b"/layer"


def downgrade(fs: Volume) -> str:
    """Make the mount read-only; return the name of the errno that this fails with, or ``ok``."""
    try:
        fs.remount(MNT_RDONLY)
    except VfsError as error:
        return errno.NAMES[error.errno]
    assert fs.error("open", b"other", O_CREAT | O_RDWR, 0o777) == "EROFS"
    return "ok"


@pytest.mark.needs("update")
def test_noneopen(fs: Volume) -> None:
    assert downgrade(fs) == "ok"


@pytest.mark.needs("update")
def test_readopen(fs: Volume) -> None:
    fs.make(b"file")
    fs.call("open", b"file", O_RDONLY, 0)
    assert downgrade(fs) == "ok"


@pytest.mark.needs("update")
def test_writeopen(fs: Volume) -> None:
    fs.call("open", b"file", O_CREAT | O_RDWR, 0o777)
    assert downgrade(fs) == "EBUSY"


@pytest.mark.needs("update")
def test_read_unlinked(fs: Volume) -> None:
    fs.make(b"file")
    fs.call("open", b"file", O_RDONLY, 0)
    fs.call("unlink", b"file")
    assert downgrade(fs) == "EBUSY"


# --- the same with files that are opened through a layer ---------------------------------------------------


def layer(fs: Volume) -> None:
    """Let the process be in a layer on the file system."""
    fs.call("mkdir", LAYER, 0o777)
    fs.mount_null(LAYER, fs.mp)
    fs.call("chdir", LAYER)


def unlayer(fs: Volume) -> None:
    """Close what is open, and take the layer away again."""
    fs.call("fcntl", 0, F_CLOSEM, 0)
    fs.call("chdir", b"/")
    fs.call("unmount", LAYER, 0)
    fs.call("rmdir", LAYER)


@pytest.mark.needs("update")
def test_layer_noneopen(fs: Volume) -> None:
    layer(fs)
    assert downgrade(fs) == "ok"
    unlayer(fs)


@pytest.mark.needs("update")
def test_layer_readopen(fs: Volume) -> None:
    layer(fs)
    fs.make(b"file")
    fs.call("open", b"file", O_RDONLY, 0)
    assert downgrade(fs) == "ok"
    unlayer(fs)


@pytest.mark.needs("update")
def test_layer_writeopen(fs: Volume) -> None:
    layer(fs)
    fs.call("open", b"file", O_CREAT | O_RDWR, 0o777)
    assert downgrade(fs) == "EBUSY"
    unlayer(fs)


@pytest.mark.needs("update")
def test_layer_read_unlinked(fs: Volume) -> None:
    layer(fs)
    fs.make(b"file")
    fs.call("open", b"file", O_RDONLY, 0)
    fs.call("unlink", b"file")
    assert downgrade(fs) == "EBUSY"
    unlayer(fs)
