"""Loading and unloading a module (NetBSD: tests/rump/rumpkern/t_modcmd.c)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from tests.kern.incore import Machine

PROGRAM = "rump/rumpkern/t_modcmd"


def test_cmsg_modcmd() -> None:
    """tmpfs can be mounted only while its module is loaded; a second load and a second unload fail."""
    machine = Machine(["rumpvfs"])
    modules = machine.kernel.modules
    p = machine.process()
    p.call("mkdir", b"/mp", 0o777)

    def refused() -> int:
        with pytest.raises(VfsError) as caught:
            p.mount_tmpfs(b"/mp", mode=0o777)
        return caught.value.errno

    assert refused() == errno.ENODEV
    for _ in range(2):
        modules.load(b"tmpfs")
        with pytest.raises(VfsError) as caught:
            modules.load(b"tmpfs")
        assert caught.value.errno == errno.EEXIST
        p.mount_tmpfs(b"/mp", mode=0o777)
        with pytest.raises(VfsError) as caught:
            modules.unload("tmpfs")
        assert caught.value.errno == errno.EBUSY
        p.call("unmount", b"/mp", 0)
        modules.unload("tmpfs")
        with pytest.raises(VfsError) as caught:
            modules.unload("tmpfs")
        assert caught.value.errno == errno.ENOENT
    assert refused() == errno.ENODEV
