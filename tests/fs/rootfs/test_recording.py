"""The root file system says what the C server says in the recordings (../shared/wire)."""

from __future__ import annotations

from rumpfs.dev.etfs import EtfsTable
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.vnode import SetAttr
from tests.fs.rootfs.recording import stored, times, without_times


def test_the_first_tree(shared, root):
    wire = shared / "wire" / "root.jsonl"
    slash, null = stored(wire, "__stat50")
    dev = root.lookup(b"dev")
    for vp, theirs in ((root, slash), (dev.lookup(b"null"), null)):
        assert without_times(vp.stat()) == without_times(theirs)
        assert len(set(times(vp.stat()))) == len(set(times(theirs))) == 1
    assert root.v_mount.pack_statvfs() == stored(wire, "statvfs1")[0]
    listings = stored(wire, "__getdents30")
    for vp, theirs in zip((root, dev), listings, strict=True):
        data, offset = vp.readdir(0, 8192)
        assert data == theirs
        assert vp.readdir(offset, 8192) == (b"", offset)


def test_values_of_the_recorded_session(shared, mp, tmp_path):
    wire = shared / "wire" / "rootfs.jsonl"
    recorded = iter(stored(wire, "__stat50", "__fstat50", "__lstat50"))

    def check(vp):
        assert without_times(vp.stat()) == without_times(next(recorded))

    (tmp_path / "disk").write_bytes(bytes(512))
    window = Window(HostFile.open(str(tmp_path / "disk")), 0, 512)
    etfs = EtfsTable()
    mp.add_key(b"dev/dk", etfs.register(b"/dev/dk", window))
    rtest = mp.mnt_root.mkdir(b"rtest", 0o755, ROOT)
    vp = rtest.create(b"file", 0o100644, ROOT)
    vp.write(0, b"hello, rump\n", 0, ROOT)
    vp.write(8192, bytes(4096), 0, ROOT)
    vp.write(100, b"vec1vec-2", 0, ROOT)
    check(vp)
    vp.setattr(SetAttr(size=5), ROOT)
    vp.setattr(SetAttr(mode=0o600), ROOT)
    check(vp)
    link = rtest.symlink(b"file2", 0o755, b"file", ROOT)
    check(link)
    assert link.readlink() == b"file"
    rtest.remove(b"file2", link, ROOT)
    check(vp)
    check(rtest.mkdir(b"tdir", 0o755, ROOT))
    assert next(recorded, None) is None
    [listing] = stored(wire, "__getdents30")
    assert rtest.readdir(0, 8192)[0] == listing
    etfs.close_all()


def test_the_large_transfer(shared, root):
    [data] = stored(shared / "wire" / "bigio_rootfs.jsonl", "pread")
    vp = root.create(b"big", 0o100644, ROOT)
    assert vp.write(100, data, 0, ROOT) == 20100
    assert b"".join([vp.read(0, 100), vp.read(100, 30000)]) == bytes(100) + data
