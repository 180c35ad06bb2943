"""tmpfs says what the C server says in the recordings (../shared/wire)."""

from __future__ import annotations

from rumpfs.base.memory import Memory
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import SetAttr
from tests.fs.rootfs.recording import stored, times, without_times
from tests.fs.tmpfs.harness import content, entries, make, mount

INO = 2  # in C it comes from an address


def test_values_of_the_recorded_session(shared):
    wire = shared / "wire" / "tmpfs.jsonl"
    recorded = iter(stored(wire, "__stat50", "__fstat50", "__lstat50"))
    mp = mount(Vfs(Memory()))
    root = mp.mnt_root

    def check(vp):
        theirs, ours = next(recorded), vp.stat()
        assert without_times(ours, INO) == without_times(theirs, INO)
        return [moment == times(theirs)[3] for moment in times(theirs)]

    assert check(root) == [True] * 4
    [statvfs] = stored(wire, "statvfs1")
    assert mp.pack_statvfs() == statvfs

    vp = make(root, b"file", b"hello, rump\n")
    vp.write(8192, bytes(4096), 0, ROOT)
    vp.write(100, b"vec1vec-2", 0, ROOT)
    check(vp)
    vp.setattr(SetAttr(size=5), ROOT)
    vp.setattr(SetAttr(mode=0o600), ROOT)
    check(vp)
    root.link(b"file2", vp, ROOT)
    root.remove(b"file2", vp, ROOT)
    check(root.symlink(b"file2", 0o755, b"file", ROOT))
    root.remove(b"file2", root.lookup(b"file2"), ROOT)
    root.rename(b"file", vp, root, b"file2", None, ROOT)
    assert check(vp) == [True, True, False, True]
    check(root.mkdir(b"tdir", 0o755, ROOT))
    assert next(recorded, None) is None

    [listing] = stored(wire, "__getdents30")
    data, _ = root.readdir(0, 8192)
    assert [entry[1:] for entry in entries(data)] == [entry[1:] for entry in entries(listing)]
    assert len(data) == len(listing) == 80


def test_the_large_transfer(shared):
    [data] = stored(shared / "wire" / "bigio_tmpfs.jsonl", "pread")
    vp = make(mount().mnt_root, b"big")
    assert vp.write(100, data, 0, ROOT) == 20100
    assert content(vp) == bytes(100) + data
