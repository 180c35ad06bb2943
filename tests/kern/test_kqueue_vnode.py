"""What kqueue tells of files (kqueue(2); NetBSD's tests/fs/tmpfs and tests/kernel/kqueue/t_vnode)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from rumpfs.abi.mount import MNT_FORCE
from tests.kern.incore import Machine, Process
from tests.kern.kqueue_util import (
    ADD,
    ALL_NOTES,
    CLEAR,
    ENABLE,
    EOF,
    ONESHOT,
    READ,
    VNODE,
    WRITE,
    Kevent,
    begin,
    finish,
    kevent,
    watch,
)

NOTES = {1: "DELETE", 2: "WRITE", 4: "EXTEND", 8: "ATTRIB", 0x10: "LINK", 0x20: "RENAME", 0x40: "REVOKE"}


class Monitor:
    """Watches paths for everything that can happen to a vnode."""

    def __init__(self, p: Process, *paths: bytes) -> None:
        self.p = p
        self.kq = p.call("kqueue")
        self.paths = {p.call("open", path, O_RDONLY, 0): path for path in paths}
        for fd in self.paths:
            watch(p, fd, VNODE, CLEAR, ALL_NOTES, self.kq)

    def seen(self) -> dict[bytes, set[str]]:
        """Path -> what happened since the last look."""
        events = kevent(self.p, self.kq)
        return {
            self.paths[event.ident]: {name for note, name in NOTES.items() if event.fflags & note}
            for event in events
        }


def test_creating(t: Process) -> None:
    """t_create, t_mkdir, t_mknod, t_symlink: kqueue."""
    t.call("mkdir", b"dir", 0o755)
    monitor = Monitor(t, b"dir")
    assert monitor.seen() == {}
    t.make(b"dir/a")
    assert monitor.seen() == {b"dir": {"WRITE"}}
    t.call("mkdir", b"dir/d", 0o755)
    assert monitor.seen() == {b"dir": {"WRITE", "LINK"}}
    t.call("symlink", b"non-existent", b"dir/s")
    assert monitor.seen() == {b"dir": {"WRITE"}}
    t.call("mkfifo", b"dir/p", 0o644)
    assert monitor.seen() == {b"dir": {"WRITE"}}


def test_making_nodes(tmp: Process) -> None:
    tmp.call("mkdir", b"dir", 0o755)
    monitor = Monitor(tmp, b"dir")
    for name, mode, rdev in (
        (b"dir/fd0a", 0o060644, 512),
        (b"dir/null", 0o020644, 514),
        (b"dir/f", 0o100644, 0),
    ):
        tmp.call("__mknod50", name, mode, rdev)
        assert monitor.seen() == {b"dir": {"WRITE"}}


def test_linking_and_removing(tmp: Process) -> None:
    """t_link, t_remove: kqueue."""
    tmp.call("mkdir", b"dir", 0o755)
    tmp.make(b"dir/a")
    monitor = Monitor(tmp, b"dir", b"dir/a")
    tmp.call("link", b"dir/a", b"dir/b")
    assert monitor.seen() == {b"dir": {"WRITE"}, b"dir/a": {"LINK"}}
    tmp.call("unlink", b"dir/a")
    assert monitor.seen() == {b"dir": {"WRITE"}, b"dir/a": {"LINK"}}
    tmp.call("unlink", b"dir/b")
    assert monitor.seen() == {b"dir": {"WRITE"}, b"dir/a": {"DELETE"}}


def test_removing_a_directory(t: Process) -> None:
    """t_rmdir: kqueue."""
    t.call("mkdir", b"dir", 0o755)
    t.call("mkdir", b"dir/a", 0o755)
    monitor = Monitor(t, b"dir", b"dir/a")
    t.call("rmdir", b"dir/a")
    assert monitor.seen() == {b"dir": {"WRITE", "LINK"}, b"dir/a": {"DELETE"}}


def test_renaming(tmp: Process) -> None:
    """t_rename: kqueue."""
    tmp.call("mkdir", b"dir", 0o755)
    tmp.make(b"dir/a")
    tmp.make(b"dir/b")
    monitor = Monitor(tmp, b"dir", b"dir/a", b"dir/b")
    tmp.call("rename", b"dir/a", b"dir/c")
    assert monitor.seen() == {b"dir": {"WRITE"}, b"dir/a": {"RENAME"}}
    tmp.call("rename", b"dir/c", b"dir/b")
    assert monitor.seen() == {b"dir": {"WRITE"}, b"dir/a": {"RENAME"}, b"dir/b": {"DELETE"}}


def test_renaming_to_another_directory(tmp: Process) -> None:
    for name in (b"dir1", b"dir2", b"dir1/sub"):
        tmp.call("mkdir", name, 0o755)
    tmp.make(b"dir1/a")
    monitor = Monitor(tmp, b"dir1", b"dir1/a", b"dir2", b"dir1/sub")
    tmp.call("rename", b"dir1/a", b"dir2/a")
    assert monitor.seen() == {b"dir1": {"WRITE"}, b"dir1/a": {"RENAME"}, b"dir2": {"WRITE"}}
    tmp.call("rename", b"dir1/sub", b"dir2/sub")
    assert monitor.seen() == {
        b"dir1": {"WRITE", "LINK"},
        b"dir1/sub": {"RENAME"},
        b"dir2": {"WRITE", "LINK"},
    }


def test_renaming_a_directory_within_and_onto(tmp: Process) -> None:
    """t_vnode: dir_no_note_link_mv_dir_within; a directory that is replaced is one link less."""
    for name in (b"dir", b"dir/a", b"dir/b"):
        tmp.call("mkdir", name, 0o755)
    monitor = Monitor(tmp, b"dir", b"dir/b")
    tmp.call("rename", b"dir/a", b"dir/c")
    assert monitor.seen() == {b"dir": {"WRITE"}}
    tmp.call("rename", b"dir/c", b"dir/b")
    assert monitor.seen() == {b"dir": {"WRITE", "LINK"}, b"dir/b": {"DELETE"}}


def test_renaming_onto_another_name_of_the_file(tmp: Process) -> None:
    tmp.make(b"a")
    tmp.call("link", b"a", b"b")
    monitor = Monitor(tmp, b".", b"a")
    tmp.call("__posix_rename", b"a", b"b")
    assert monitor.seen() == {}
    tmp.call("rename", b"a", b"b")
    assert monitor.seen() == {b".": {"WRITE"}, b"a": {"LINK"}}


def test_writing(t: Process) -> None:
    """t_read_write: kqueue; t_vnode: open_write_read_close."""
    t.make(b"c", bytes(10240))
    monitor = Monitor(t, b"c")
    fd = t.call("open", b"c", O_WRONLY, 0)
    t.call("pwrite", fd, bytes(1024), 2048)
    assert monitor.seen() == {b"c": {"WRITE"}}
    t.call("pwrite", fd, b"x", 10240)
    assert monitor.seen() == {b"c": {"WRITE", "EXTEND"}}
    t.call("write", fd, b"x")
    assert monitor.seen() == {b"c": {"WRITE"}}
    t.call("write", fd, b"")
    t.call("pread", t.call("open", b"c", O_RDONLY, 0), 100, 0)
    assert monitor.seen() == {}
    end = t.call("open", b"c", O_WRONLY | O_APPEND, 0)
    t.call("writev", end, t.iovec(b"ab", b"cd"), 2)
    assert monitor.seen() == {b"c": {"WRITE", "EXTEND"}}


def test_attributes(tmp: Process) -> None:
    """t_setattr: the *_kqueue cases."""
    tmp.call("mkdir", b"d", 0o755)
    monitor = Monitor(tmp, b"d")
    fd = next(iter(monitor.paths))
    for call in (
        ("chown", b"d", 1234, 2**32 - 1),
        ("chown", b"d", 2**32 - 1, 1234),
        ("chown", b"d", 1234, 5678),
        ("chmod", b"d", 0),
        ("fchmod", fd, 0o755),
        ("__utimes50", b"d", None),
        ("futimens", fd, None),
        ("chflags", b"d", 1),
    ):
        tmp.call(*call)
        assert monitor.seen() == {b"d": {"ATTRIB"}}, call


def test_lengths(tmp: Process) -> None:
    tmp.make(b"f", b"content")
    monitor = Monitor(tmp, b"f")
    tmp.call("truncate", b"f", 100)
    assert monitor.seen() == {b"f": {"EXTEND"}}
    tmp.call("truncate", b"f", 10)
    assert monitor.seen() == {b"f": {"ATTRIB"}}
    tmp.call("open", b"f", O_RDWR | O_TRUNC, 0)
    assert monitor.seen() == {b"f": {"ATTRIB"}}


def test_what_fails_is_not_noted(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    t.make(b"dir/a")
    monitor = Monitor(t, b".", b"dir", b"dir/a")
    assert t.error("mkdir", b"dir", 0o755) == "EEXIST"
    assert t.error("rmdir", b"dir") == "ENOTEMPTY"
    assert t.error("unlink", b"dir") == "EPERM"
    assert t.error("truncate", b"dir", 0) == "EISDIR"
    t.call("open", b"dir/a", O_CREAT | O_RDWR, 0o644)
    assert monitor.seen() == {}


def test_events_gather_until_they_are_read(tmp: Process) -> None:
    tmp.make(b"f")
    monitor = Monitor(tmp, b"f")
    fd = tmp.call("open", b"f", O_WRONLY, 0)
    tmp.call("write", fd, b"x")
    tmp.call("link", b"f", b"g")
    assert monitor.seen() == {b"f": {"WRITE", "EXTEND", "LINK"}}
    assert monitor.seen() == {}


def test_only_what_was_asked_for_is_reported(tmp: Process) -> None:
    tmp.make(b"f")
    fd = tmp.call("open", b"f", O_RDWR, 0)
    kq = watch(tmp, fd, VNODE, 0, 0x10)  # LINK
    tmp.call("write", fd, b"x")
    assert kevent(tmp, kq) == []
    tmp.call("link", b"f", b"g")
    assert [event.fflags for event in kevent(tmp, kq)] == [0x10]
    assert [event.fflags for event in kevent(tmp, kq)] == [0x10]  # without CLEAR it stays so


def test_a_monitor_as_in_the_tests_of_tmpfs(t: Process) -> None:
    """h_tools: kqueue: oneshots that are added again with every call."""
    t.call("mkdir", b"dir", 0o755)
    t.make(b"dir/a")
    kq = t.call("kqueue")
    fds = [t.call("open", path, O_RDONLY, 0) for path in (b"dir", b"dir/a")]
    changes = [Kevent(fd, VNODE, ADD | ENABLE | ONESHOT, ALL_NOTES) for fd in fds]
    assert kevent(t, kq, *changes, room=1) == []
    t.call("unlink", b"dir/a")
    log = []
    while events := kevent(t, kq, *changes, room=1):
        log += [(event.ident, event.fflags) for event in events]
    assert sorted(log) == [(fds[0], 0x02), (fds[1], 0x01)]


def test_another_process_sees_it(machine: Machine, t: Process) -> None:
    other = machine.process()
    monitor = Monitor(other, b"/t")
    waiting = begin(other, monitor.kq, [])
    assert waiting.asleep
    t.make(b"f")
    waiting.step()
    assert [event.fflags for event in finish(other, waiting)] == [0x02]


def test_reading_a_file(t: Process) -> None:
    """read/t_file: the event is there while the offset is not at the end, and tells how far it is off."""
    t.make(b"f", b"0123456789")
    fd = t.call("open", b"f", O_RDWR, 0)
    kq = watch(t, fd, READ)
    assert [event.data for event in kevent(t, kq)] == [10]
    t.call("read", fd, 4)
    assert [event.data for event in kevent(t, kq)] == [6]
    t.call("read", fd, 6)
    assert kevent(t, kq) == []
    waiting = begin(t, kq, [])
    t.call("pwrite", t.call("open", b"f", O_WRONLY, 0), b"more", 10)
    waiting.step()
    assert [event.data for event in finish(t, waiting)] == [4]
    t.call("lseek", fd, 20, 0)
    assert [event.data for event in kevent(t, kq)] == [-6]


def test_writing_a_file_and_a_device(t: Process) -> None:
    t.make(b"f")
    fd, null = t.call("open", b"f", O_RDWR, 0), t.call("open", b"/dev/null", O_RDWR, 0)
    kq = watch(t, fd, WRITE)
    for filt in (READ, WRITE):
        watch(t, null, filt, kq=kq)
    assert set(kevent(t, kq)) == {Kevent(fd, WRITE, ADD), Kevent(null, READ, ADD), Kevent(null, WRITE, ADD)}


def test_a_mount_that_is_forced_away(tmp: Process) -> None:
    tmp.make(b"f", b"content")
    fd = tmp.call("open", b"f", O_RDWR, 0)
    kq = watch(tmp, fd, VNODE, CLEAR, ALL_NOTES)
    watch(tmp, fd, READ, CLEAR, kq=kq)
    kevent(tmp, kq)
    tmp.call("unmount", b"/t", MNT_FORCE)
    events = {event.filter: event for event in kevent(tmp, kq)}
    assert events[VNODE] == Kevent(fd, VNODE, ADD | CLEAR | EOF, 0x40)
    assert events[READ].flags == ADD | CLEAR | EOF | ONESHOT
    tmp.call("close", fd)
    assert kevent(tmp, kq) == []
