"""etfs keys in the root file system (spec/sysproxy 14.1; NetBSD tests/rump/rumpvfs/t_etfs.c)."""

from __future__ import annotations

import os

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.base.errors import VfsError
from rumpfs.dev.etfs import EtfsTable
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import IO_APPEND, VBLK, VCHR, VREG, SetAttr, vref, vrele

NANOSECONDS = 1_700_000_000_123_456_789


class Caller:
    """A process, as namei sees one."""

    def __init__(self, cwd):
        self.cred = ROOT
        self.cwd = cwd
        self.rdir = cwd


@pytest.fixture
def etfs():
    table = EtfsTable(lambda: NANOSECONDS)
    yield table
    table.close_all()


@pytest.fixture
def register(tmp_path, etfs, mp):
    """Register a host file: register(key, content, kind, offset, size) -> (vnode, host path)."""

    def register(key, content=b"content", kind="reg", offset=0, size=0, readonly=False):
        path = tmp_path / key.strip(b"/").replace(b"/", b"_").decode()
        path.write_bytes(content)
        window = Window(HostFile.open(str(path)), offset, size, readonly)
        entry = etfs.register(key, window, kind)
        return mp.add_key(entry.key, entry), path

    return register


def fails(number, call, *args):
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("kind", "vtype", "mode", "rdev"),
    [
        ("blk", VBLK, 0o060755, 0xC501),
        ("chr", VCHR, 0o020755, 0xC501),
        ("reg", VREG, 0o100755, 2**64 - 1),
    ],
)
def test_attributes(register, kind, vtype, mode, rdev):
    register(b"/first", bytes(512), "blk", size=512)
    vp, _ = register(b"/dev/dk", bytes(2048), kind, 512, 1024)
    va = vp.getattr()
    assert (vp.v_type, va.mode, va.rdev, vp.rdev()) == (vtype, mode, rdev, rdev)
    assert (va.uid, va.gid, va.nlink, va.size, va.blocks, va.blocksize) == (0, 0, 1, 1024, 1, 512)
    assert va.fsid == va.fileid == 9
    assert va[7:15] == (1_700_000_000, 123_456_789) * 4


def test_the_first_device_is_number_0xc500(register):
    assert register(b"/dev/dk", bytes(512), "blk", size=512)[0].rdev() == 0xC500


def test_a_key_takes_an_inode_number(register, mp):
    register(b"/dev/dk", bytes(512), "blk", size=512)
    assert mp.mnt_root.mkdir(b"rtest", 0o755, ROOT).getattr().fileid == 9


def test_which_paths_are_a_key(register, root):
    vp, _ = register(b"////key//with/slashes")
    p = Caller(root)
    for path in (b"/key//with/slashes", b"key//with/slashes", b"//key//with/slashes", b"key//with/slashes/"):
        assert namei(p, path) is vp
    root.mkdir(b"a", 0o755, ROOT)
    for path in (
        b"/key/with/slashes",
        b"/key//with/slashes/x",
        b"/a/key//with/slashes",
        b"/./key//with/slashes",
    ):
        fails(errno.ENOENT, namei, p, path)
    data, _ = root.readdir(0, 8192)
    assert b"key" not in data


def test_a_key_wins_over_a_file_until_it_is_removed(register, root, mp):
    p = Caller(root)
    file = root.create(b"key", 0o100644, ROOT)
    vp, _ = register(b"/key")
    assert namei(p, b"/key") is vp
    fails(errno.EEXIST, mp.add_key, b"/key", vp.entry)
    mp.remove_key(b"//key")
    assert namei(p, b"/key") is file
    fails(errno.ENOENT, mp.remove_key, b"key")


def test_reregistering(register, etfs, mp, root):
    p = Caller(root)
    register(b"/key", b"first")
    assert namei(p, b"/key").read(0, 100) == b"first"
    mp.remove_key(b"key")
    etfs.remove(b"/key")
    register(b"/key", b"second")
    assert namei(p, b"/key").read(0, 100) == b"second"


def test_an_open_file_keeps_its_key(register, etfs):
    vp, _ = register(b"/key")
    vp.open(FREAD, ROOT)
    fails(errno.EBUSY, etfs.remove, b"key")
    vp.close(FREAD)
    etfs.remove(b"key")


def test_transfers_reach_the_host_file_inside_the_window(register):
    vp, path = register(b"/key", bytes(range(100)), offset=10, size=50)
    assert vp.size() == vp.getattr().size == 50
    assert vp.read(0, 5) == bytes(range(10, 15))
    assert vp.read(45, 100) == bytes(range(55, 60))
    assert vp.read(50, 1) == vp.read(2**62, 1) == b""
    assert vp.write(40, b"X" * 10, 0, ROOT) == 50
    fails(errno.EFBIG, vp.write, 41, b"Y" * 10, 0, ROOT)
    fails(errno.EFBIG, vp.write, 0, b"Y", IO_APPEND, ROOT)
    assert path.read_bytes() == bytes(range(50)) + b"X" * 10 + bytes(range(60, 100))


def test_a_key_without_a_size_is_as_long_as_the_host_file(register):
    vp, path = register(b"/key", b"0123456789", offset=4)
    assert (vp.size(), vp.read(0, 100)) == (6, b"456789")
    assert vp.write(0, b"ab", IO_APPEND, ROOT) == 8
    assert vp.write(10, b"z", 0, ROOT) == 11
    assert path.read_bytes() == b"0123456789ab\0\0z"
    assert vp.size() == 11
    os.truncate(path, 2)
    assert (vp.size(), vp.read(0, 100), vp.getattr().size) == (0, b"", 0)
    fails(errno.EFBIG, vp.write, 2**63 - 5, b"x", 0, ROOT)


def test_the_length_of_a_key_cannot_be_set(register):
    vp, path = register(b"/key", b"content")
    vp.setattr(SetAttr(size=0), ROOT)
    assert path.read_bytes() == b"content"


def test_a_read_only_key_is_not_opened_for_writing(register):
    vp, _ = register(b"/key", readonly=True)
    device, _ = register(b"/dev/dk", bytes(512), "blk", size=512, readonly=True)
    for node in (vp, device):
        node.open(FREAD, ROOT)
        fails(errno.EROFS, node.open, FREAD | FWRITE, ROOT)


def test_others_than_root_may_read_only(register):
    vp, _ = register(b"/key")
    vp.access(0o5, Cred(1, 1))
    fails(errno.EACCES, vp.access, 0o2, Cred(1, 1))


@pytest.fixture
def unsyncable(etfs, mp):
    """A key on a host file whose fsync(2) fails."""
    entry = etfs.register(b"/key", Window(HostFile.open("/dev/zero"), 0, 0), "reg")
    return mp.add_key(entry.key, entry)


@pytest.mark.error_log("b'key': what was written may be lost")
def test_what_was_written_is_synced_at_the_last_use(unsyncable):
    vref(unsyncable)
    unsyncable.write(0, b"x", 0, ROOT)
    fails(errno.EINVAL, unsyncable.fsync)
    vrele(unsyncable)


def test_what_was_only_read_is_not_synced(unsyncable):
    vref(unsyncable)
    unsyncable.read(0, 1)
    vrele(unsyncable)


def test_what_was_synced_is_not_synced_again_at_the_end(register):
    vp, path = register(b"/key")
    vref(vp)
    vp.write(0, b"x", 0, ROOT)
    vp.fsync()
    vrele(vp)
    assert path.read_bytes() == b"xontent"
