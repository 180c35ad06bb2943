"""/dev/null and /dev/zero."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.base.copy import data_length
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import solve
from rumpfs.kern.kernel import Kernel
from rumpfs.vfs.namei import namei
from rumpfs.vfs.specfs import Device


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel(1, None, False, lambda data: None)
    for component in solve(["rumpvfs"]):
        kernel.add(component)
    kernel.boot()
    return kernel


def opened(kernel: Kernel, path: bytes) -> Device:
    assert kernel.vfs is not None
    return kernel.vfs.devsw.open(namei(kernel.initproc, path), FREAD | FWRITE)


def test_the_root_file_system_has_them(kernel: Kernel) -> None:
    # sysproxy.md 14.2: character devices 2,2 and 2,12; makedev(2, 2) is 514 (netbsd_abi.md)
    assert namei(kernel.initproc, b"/dev/null").rdev() == 514
    assert namei(kernel.initproc, b"/dev/zero").rdev() == 2 << 8 | 12


def test_null_is_empty_and_takes_everything(kernel: Kernel) -> None:
    null = opened(kernel, b"/dev/null")
    assert data_length(null.read(0, 1 << 20)) == 0
    assert null.write(1 << 40, b"x" * 1000) == 1000
    assert null.discards


@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 65537, 3 << 20])
def test_zero_reads_as_many_zeroes_as_asked_for(kernel: Kernel, length: int) -> None:
    zero = opened(kernel, b"/dev/zero")
    data = zero.read(12345, length)
    pieces = data if isinstance(data, list) else [data]
    assert b"".join(pieces) == bytes(length)
    assert zero.write(0, b"x") == 1


def test_other_minors_are_enxio(kernel: Kernel) -> None:
    cred = kernel.initproc.cred
    assert kernel.vfs is not None
    for minor in (0, 1, 10, 13):
        vp = namei(kernel.initproc, b"/dev").create(b"mem%d" % minor, 0o020600, cred, 2 << 8 | minor)
        with pytest.raises(VfsError) as caught:
            kernel.vfs.devsw.open(vp, FREAD)
        assert caught.value.errno == errno.ENXIO
