"""Traces of recorded conversations, and of calls whose numbers and layouts are NetBSD's headers'."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.abi import styles, syscalls
from rumpfs.sysproxy import kdump, wire
from rumpfs.sysproxy.ktrace import KEEP, Called, Memory, Noted, Origin, Record, Trace
from tests.conftest import SHARED
from tests.serving import (
    COPYIN,
    COPYINSTR,
    COPYOUT,
    ERROR,
    HANDSHAKE,
    RAISE,
    REQ,
    RESP,
    SYSCALL,
    SYSRESP,
    Frame,
)

WIRE = SHARED / "wire"
NAMES = sorted(path.stem for path in WIRE.glob("*.jsonl") if path.stem != "raw_errors")
recorded = pytest.mark.skipif(not NAMES, reason=f"no recordings at {WIRE}")


def messages(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WIRE / f"{name}.jsonl").read_text().splitlines()]


def replay(name: str, piece: int = 1 << 20) -> list[Record]:
    """Show a tracer a recording, in pieces of at most so many bytes."""
    records: list[Record] = []
    trace = Trace(records.append, lambda: 0.0)
    tracers = {}
    for message in messages(name):
        number = message["conn"]
        if message.get("event") == "open":
            tracers[number] = trace.connection()
        elif message.get("event") == "close":
            tracers[number].close()
        else:
            show = tracers[number].client if message["dir"] == "c2s" else tracers[number].server
            data = memoryview(bytes.fromhex(message["hex"]))
            for start in range(0, len(data), piece):
                show(data[start : start + piece])
    return records


def lines(records: Iterable[Record]) -> list[str]:
    """Return records as text, without times."""
    return [kdump.text(record).removesuffix(" <0.000000>") for record in records]


# --- recordings of NetBSD's clients and its server ----------------------------------------------------


@recorded
@pytest.mark.parametrize("name", NAMES)
def test_every_call_of_a_recording_is_in_its_trace(name: str) -> None:
    """Names, errors and return values as the recorder read them."""
    asked: dict[tuple[int, int], str] = {}
    answered = []
    for message in messages(name):
        key = (message["conn"], message.get("reqno", -1))
        if message.get("class") == "REQ" and message["type"] == "SYSCALL":
            asked[key] = message["sys"]
        elif message.get("class") == "RESP" and message["type"] == "SYSCALL":
            first, second = (value & (1 << 64) - 1 for value in message["retval"])
            answered.append((message["conn"], asked.pop(key), message["error"], first, second))
    calls = [record for record in replay(name) if isinstance(record, Called)]
    assert not asked
    assert [
        (
            call.origin.conn,
            call.row.name if call.row else "kill",  # which the table does not have
            call.error,
            *(value & (1 << 64) - 1 for value in call.retval),
        )
        for call in calls
    ] == answered


@recorded
@pytest.mark.parametrize("name", NAMES)
def test_a_trace_does_not_depend_on_how_the_bytes_come(name: str) -> None:
    assert lines(replay(name, 7)) == lines(replay(name))


#: what the client's program printed of its calls (tmpfs.out, ffs.out, errors.out), in our notation
PRINTED = {
    "tmpfs": """\
__stat50("/tmp", {st_mode=S_IFDIR|01777, st_ino=649892802690, st_nlink=2, st_uid=0, st_gid=0, st_size=0}) = 0
open("/tmp/file", O_RDWR|O_CREAT|O_TRUNC, 0644) = 3
write(3, "hello, rump\\n", 12) = 12
lseek(3, 0, SEEK_SET) = 0
read(3, "hello, rump\\n", 4096) = 12
lseek(3, 0, SEEK_END) = 12288
ftruncate(3, 5) = 0
fsync(3) = 0
fchmod(3, 0600) = 0
dup(3) = 4
dup2(3, 10) = 10
symlink("file", "/tmp/file2") = 0
readlink("/tmp/file2", "file", 4096) = 4
rename("/tmp/file", "/tmp/file2") = 0
mkdir("/tmp/tdir", 0755) = -1 EEXIST (File exists)
__getdents30(3, [".", "..", "file2", "tdir"], 8192) = 80
__getdents30(3, [], 8192) = 0
unlink("/tmp/tdir") = -1 EPERM (Operation not permitted)
unmount("/tmp", 0) = 0""",
    "ffs": """\
__mount50("ffs", "/mnt", 0, {fspec="/dev/dk"}, 8) = 0""",
    "errors": """\
open("/no/such/file", O_RDONLY, 0000) = -1 ENOENT (No such file or directory)
close(77) = -1 EBADF (Bad file descriptor)
unlink("/nonexistent") = -1 ENOENT (No such file or directory)
__mount50("nosuchfs", "/", 0, NULL, 0) = -1 ENODEV""",
    "kill_enosys": "syscall_37(0x12, 0xa) = -1 ENOSYS",
    "halt": "reboot(0, NULL) = 0",
}


@recorded
@pytest.mark.parametrize("name", PRINTED)
def test_calls_read_as_the_client_wrote_them(name: str) -> None:
    traced = iter(lines(replay(name)))
    for wanted in PRINTED[name].splitlines():
        assert any(wanted in line for line in traced), wanted  # in this order


@recorded
def test_statvfs_and_mount_arguments_of_a_tmpfs() -> None:
    """statvfs as tmpfs.out has it; the arguments are struct tmpfs_args, version 1, without limits."""
    traced = lines(replay("tmpfs"))
    assert (
        '__mount50("tmpfs", "/tmp", 0, {ta_version=1, ta_nodes_max=0, ta_size_max=0, ta_root_uid=0, '
        "ta_root_gid=0, ta_root_mode=01777}, 40) = 0"
    ) in traced[5]
    (statvfs,) = (line for line in traced if "statvfs1(" in line)
    for figure in ("f_bsize=4096", "f_blocks=131073", "f_bfree=131072", "f_files=2485514", "MNT_LOCAL"):
        assert figure in statvfs
    assert 'f_fstypename="tmpfs", f_mntonname="/tmp", f_mntfromname="tmpfs"}, ST_WAIT) = 0' in statvfs


@recorded
def test_a_transfer_that_comes_in_pages_is_one() -> None:
    """The server asks for 20,000 bytes in pieces that end at pages (bigio_ffs)."""
    traced = lines(replay("bigio_ffs"))
    transfers = [line for line in traced if re.search(r" p(read|write)\(3, ", line)]
    assert len(transfers) == 2
    assert all(line.endswith("...(20000), 20000, 100) = 20000") for line in transfers)


@recorded
def test_forks_and_processes() -> None:
    """fork.out: process 8 forks 10 and 12; each child claims the cookie of its parent's prefork."""
    records = [record for record in replay("fork") if isinstance(record, Noted)]
    pids = [record.number for record in records if record.event == "process"]
    assert pids == [8, 10, 12]
    preforks = [record.name for record in records if record.event == "prefork"]
    forks = [record for record in records if record.event == "fork"]
    assert [fork.name for fork in forks] == preforks
    assert [(fork.origin.conn, fork.number) for fork in forks] == [(2, 1), (3, 1)]


@recorded
def test_an_exec_stands_between_the_calls_of_the_two_images() -> None:
    """exec.out: the descriptor that was marked is closed then, and the process stays the same."""
    traced = lines(replay("exec"))
    (at,) = (index for index, line in enumerate(traced) if "exec" in line)
    assert traced[at] == '15 +++ exec "client_test" +++'
    assert traced[at - 1] == "15.1 fcntl(4, F_SETFD, FD_CLOEXEC) = 0"
    assert any("__fstat50(4, " in line and "EBADF" in line for line in traced[at:])
    assert traced[-1] == "15 +++ disconnect on c1 +++"


@recorded
def test_a_signal_comes_before_the_call_that_raised_it() -> None:
    traced = lines(replay("sigpipe_raise"))
    at = traced.index("16 --- SIGPIPE ---")
    assert re.match(r"16\.1 write\(4, .*\) = -1 EPIPE", traced[at + 1])


@recorded
def test_calls_that_overlap_have_different_lwps() -> None:
    """The read began first and ends last; each has its own data."""
    traced = lines(replay("pipe_blocking"))
    at = traced.index('17.2 write(4, "pipe!", 5) = 5')
    assert traced[at + 1] == '17.1 read(3, "pipe!", 8) = 5'


# --- calls made here --------------------------------------------------------------------------------

PTR, PTR2, PTR3, PTR4 = 0x10000, 0x20000, 0x30000, 0x40000
BANNER = b"RUMPSP-0.4-NetBSD-7.99.34/amd64\n"


class Talk:
    """A conversation with one process, whose frames are made by hand."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.tracer = Trace(self.records.append, lambda: 0.0).connection()
        self.copies = 0
        self.server(BANNER)
        self.client(Frame(1, REQ, HANDSHAKE, 0, b"t\0").encode())
        self.server(Frame(1, RESP, HANDSHAKE, 0, bytes(4)).encode())
        self.records.clear()

    def client(self, data: bytes) -> None:
        self.tracer.client(memoryview(data))

    def server(self, data: bytes) -> None:
        self.tracer.server(memoryview(data))

    def request(self, reqno: int, number: int, *slots: int) -> None:
        body = struct.pack(f"<{len(slots)}Q", *(slot % 2**64 for slot in slots))
        self.client(Frame(reqno, REQ, SYSCALL, number, body).encode())

    def copyin(self, addr: int, data: bytes, kind: int = COPYIN) -> None:
        self.server(Frame(self.copies, REQ, kind, 0, struct.pack("<QQ", len(data), addr)).encode())
        self.client(Frame(self.copies, RESP, COPYIN, 0, data).encode())
        self.copies += 1

    def copyout(self, addr: int, data: bytes) -> None:
        body = struct.pack("<QQ", len(data), addr) + data
        self.server(Frame(self.copies, REQ, COPYOUT, 0, body).encode())
        self.copies += 1

    def answer(self, reqno: int, error: int = 0, first: int = 0, second: int = 0) -> None:
        self.server(Frame(reqno, RESP, SYSCALL, 0, SYSRESP.pack(error, first, second)).encode())

    @property
    def lines(self) -> list[str]:
        return lines(self.records)


def called(
    number: int,
    *slots: int,
    given: dict[int, bytes] | None = None,
    stored: dict[int, bytes] | None = None,
    result: int = 0,
    error: int = 0,
) -> str:
    """Return the line of one call, without process and time."""
    talk = Talk()
    talk.request(2, number, *slots)
    for addr, data in (given or {}).items():
        talk.copyin(addr, data)
    for addr, data in (stored or {}).items():
        talk.copyout(addr, data)
    talk.answer(2, error, result)
    (line,) = talk.lines
    return line.removeprefix("c1.1 ")


def kevent(ident: int, filt: int, flags: int, fflags: int, data: int = 0) -> bytes:
    return struct.pack("<QIII4xqQ", ident, filt, flags, fflags, data, 0)


def test_kevents() -> None:
    """sys/event.h: EVFILT_READ 0, EVFILT_VNODE 3, EV_ADD 1, EV_CLEAR 0x20."""
    assert called(
        435, 5, PTR, 2, PTR2, 4, 0,
        given={PTR: kevent(3, 0, 1, 0) + kevent(4, 3, 0x21, 2)},
        stored={PTR2: kevent(3, 0, 1, 0, 12)},
        result=1,
    ) == (
        "__kevent50(5, [{ident=3, filter=EVFILT_READ, flags=EV_ADD, fflags=0x0, data=0, udata=0x0}, "
        "{ident=4, filter=EVFILT_VNODE, flags=EV_ADD|EV_CLEAR, fflags=0x2, data=0, udata=0x0}], 2, "
        "[{ident=3, filter=EVFILT_READ, flags=EV_ADD, fflags=0x0, data=12, udata=0x0}], 4, NULL) = 1"
    )  # fmt: skip


def test_poll_shows_what_was_asked_and_what_came() -> None:
    """sys/poll.h: POLLIN 1, POLLOUT 4, POLLHUP 0x10."""
    assert called(
        209, PTR, 1, -1,
        given={PTR: struct.pack("<iHH", 3, 5, 0)},
        stored={PTR: struct.pack("<iHH", 3, 5, 0x11)},
        result=1,
    ) == (
        "poll([{fd=3, events=POLLIN|POLLOUT, revents=0}] => "
        "[{fd=3, events=POLLIN|POLLOUT, revents=POLLIN|POLLHUP}], 1, -1) = 1"
    )  # fmt: skip


def test_descriptor_sets() -> None:
    assert called(
        417, 8, PTR, 0, 0, PTR2,
        given={PTR: bytes([0b10101000, 0, 0, 0]), PTR2: struct.pack("<qi4x", 1, 500000)},
        stored={PTR: bytes([0b00001000, 0, 0, 0])},
        result=1,
    ) == "__select50(8, [3, 5, 7] => [3], NULL, NULL, {tv_sec=1, tv_usec=500000}) = 1"  # fmt: skip


def test_vectors() -> None:
    vectors = struct.pack("<QQQQ", PTR2, 5, PTR3, 3)
    assert (
        called(121, 4, PTR, 2, given={PTR: vectors, PTR2: b"hello", PTR3: b"abc"}, result=8)
        == 'writev(4, [{iov_base="hello", iov_len=5}, {iov_base="abc", iov_len=3}], 2) = 8'
    )
    assert (
        called(120, 4, PTR, 2, given={PTR: vectors}, stored={PTR2: b"hello", PTR3: b"x"}, result=6)
        == 'readv(4, [{iov_base="hello", iov_len=5}, {iov_base="x", iov_len=3}], 2) = 6'
    )


def test_sysctl_names() -> None:
    """sys/sysctl.h: kern.ostype is 1.1, hw.ncpu 6.3; -2 asks what is below a node."""
    name = struct.pack("<ii", 1, 1)
    length = struct.pack("<Q", 256)
    assert called(
        202, PTR, 2, PTR2, PTR3, 0, 0,
        given={PTR: name, PTR3: length}, stored={PTR2: b"NetBSD\0", PTR3: struct.pack("<Q", 7)},
    ) == '__sysctl([CTL_KERN, KERN_OSTYPE], 2, "NetBSD\\0", [256] => [7], NULL, 0) = 0'  # fmt: skip
    assert called(202, PTR, 2, 0, 0, 0, 0, given={PTR: struct.pack("<ii", 6, 3)}).startswith(
        "__sysctl([CTL_HW, HW_NCPU], 2,"
    )
    assert called(202, PTR, 2, 0, 0, 0, 0, given={PTR: struct.pack("<ii", 6, -2)}).startswith(
        "__sysctl([CTL_HW, CTL_QUERY], 2,"
    )


@pytest.mark.parametrize(
    ("number", "slots", "line"),
    [
        # sys/fcntl.h: O_EXCL 0x800, O_CLOEXEC 0x400000; AT_FDCWD is -100, not sign-extended
        (468, (2**32 - 100, PTR, 0x400801, 6), 'openat(AT_FDCWD, "/f", O_WRONLY|O_EXCL|O_CLOEXEC, 0006)'),
        (471, (5, PTR, 0x800), 'unlinkat(5, "/f", AT_REMOVEDIR)'),
        (462, (-100, PTR, 6, 0x200), 'faccessat(AT_FDCWD, "/f", W_OK|R_OK, AT_SYMLINK_NOFOLLOW)'),
        (33, (PTR, 0), 'access("/f", 0)'),
        (16, (PTR, 0xFFFFFFFF, 7), 'chown("/f", -1, 7)'),
        (450, (PTR, 0o010644, 0), '__mknod50("/f", S_IFIFO|0644, 0x0)'),
        (22, (PTR, 0x80000), 'unmount("/f", MNT_FORCE)'),
        (92, (3, 4, 0xC), "fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK|O_APPEND)"),
        (92, (3, 0, 10), "fcntl(3, F_DUPFD, 10)"),
        (92, (3, 99, 0x10), "fcntl(3, 99, 16)"),
        (131, (3, 6), "flock(3, LOCK_EX|LOCK_NB)"),
        (191, (PTR, 4), 'pathconf("/f", _PC_NAME_MAX)'),
        (54, (3, 0x4004667F, 0), "ioctl(3, FIONREAD, NULL)"),
        (173, (3, PTR2, 16, 0, -1), 'pread(3, "", 16, -1)'),
        (467, (-100, PTR, 0, 0), 'utimensat(AT_FDCWD, "/f", NULL, 0)'),
        (246, (1, PTR), 'modctl(MODCTL_UNLOAD, "/f")'),  # sys/module.h, where MODCTL_LOAD_FORCE is 1 as well
    ],
)  # fmt: skip
def test_flags_and_numbers(number: int, slots: tuple[int, ...], line: str) -> None:
    given = {PTR: b"/f\0"} if PTR in slots else {}
    assert called(number, *slots, given=given) == f"{line} = 0"


def test_the_arguments_of_a_module() -> None:
    """modctl_load_t: ml_filename, ml_flags, ml_props, ml_propslen; MODCTL_LOAD_FORCE is 1."""
    load = struct.pack("<Qi4xQQ", PTR2, 1, 0, 0)
    assert called(246, 0, PTR, given={PTR: load, PTR2: b"ffs\0"}) == (
        'modctl(MODCTL_LOAD, {ml_filename="ffs", ml_flags=MODCTL_LOAD_FORCE, ml_props=0, ml_propslen=0}) = 0'
    )


def test_a_lock() -> None:
    """struct flock: l_start, l_len, l_pid, l_type, l_whence; F_WRLCK is 3."""
    lock = struct.pack("<qqihh", 10, 20, 0, 3, 0)
    assert (
        called(92, 3, 8, PTR, given={PTR: lock}, error=35)
        == "fcntl(3, F_SETLK, {l_start=10, l_len=20, l_pid=0, l_type=F_WRLCK, l_whence=SEEK_SET}) = -1 "
        "EAGAIN (Resource temporarily unavailable)"
    )


@pytest.mark.parametrize(
    ("number", "slots", "result", "shown"),
    [
        (60, (0o27,), 0o22, "umask(0027) = 0022"),
        (92, (3, 3, 0), 0x40A, "fcntl(3, F_GETFL, 0) = O_RDWR|O_APPEND|O_TRUNC"),
        (24, (), 0xFFFFFFFE, "getuid() = 4294967294"),
        (199, (3, 0, 0, 2), 5 << 32, "lseek(3, 0, SEEK_END) = 21474836480"),
        (191, (0, 1), -1, "pathconf(NULL, _PC_LINK_MAX) = -1"),
    ],
)
def test_results(number: int, slots: tuple[int, ...], result: int, shown: str) -> None:
    assert called(number, *slots, result=result) == shown


def test_bytes_are_quoted_and_cut() -> None:
    line = called(4, 1, PTR, 40, given={PTR: b'\0\n\x7f"\\\xff' + "ü".encode() + b"x" * 32}, result=40)
    assert line == 'write(1, "\\0\\n\\x7f\\"\\\\\\xffü' + "x" * 24 + '"...(40), 40) = 40'


def test_what_the_kernel_wants_longer_than_what_is_kept() -> None:
    talk = Talk()
    talk.request(2, 4, 1, PTR, KEEP + 32768)
    for start in range(0, KEEP + 32768, 32768):
        talk.copyin(PTR + start, b"y" * 32768)
    talk.answer(2, 0, KEEP + 32768)
    assert talk.lines == [f'c1.1 write(1, "{"y" * 32}"...({KEEP + 32768}), {KEEP + 32768}) = {KEEP + 32768}']


def test_data_that_comes_in_pieces() -> None:
    """The head of a COPYOUT and its data need not be in one piece; what is behind it is a frame again."""
    talk = Talk()
    talk.request(2, 3, 3, PTR, 100)
    body = struct.pack("<QQ", 100, PTR) + b"0123456789" * 10
    stream = (
        Frame(0, REQ, COPYOUT, 0, body).encode()
        + Frame(2, RESP, SYSCALL, 0, SYSRESP.pack(0, 100, 0)).encode()
    )
    for start in (0, 40, 45, 60, 139):
        talk.server(stream[start : {0: 40, 40: 45, 45: 60, 60: 139}.get(start, len(stream))])
    assert talk.lines == ['c1.1 read(3, "01234567890123456789012345678901"...(100), 100) = 100']


def test_copies_of_calls_that_overlap_find_their_call() -> None:
    """A COPYIN does not say for which call it is: the address does."""
    talk = Talk()
    talk.request(2, 10, PTR)
    talk.request(3, 121, 4, PTR2, 1)
    talk.copyin(PTR, b"/first\0", COPYINSTR)
    talk.copyin(PTR2, struct.pack("<QQ", PTR3, 5))
    talk.request(4, 5, PTR4, 0, 0)
    talk.copyin(PTR3, b"hello")
    talk.copyin(PTR4, b"/second\0", COPYINSTR)
    for reqno in (4, 3, 2):
        talk.answer(reqno)
    assert talk.lines == [
        'c1.3 open("/second", O_RDONLY, 0000) = 0',
        'c1.2 writev(4, [{iov_base="hello", iov_len=5}], 1) = 0',
        'c1.1 unlink("/first") = 0',
    ]


def test_calls_without_an_answer() -> None:
    """A refusal (sysproxy.md 4.1: 1 is TRYAGAIN), and the end of the connection."""
    talk = Talk()
    talk.request(2, 20)
    talk.server(Frame(2, ERROR, 0, 1, b"").encode())
    talk.request(3, 3, 0, PTR, 10)
    talk.tracer.close()
    assert talk.lines == [
        "c1.1 getpid() = ? refused: ERR_TRYAGAIN",
        f"c1.1 read(0, {PTR:#x}, 10) = ?",
        "c1 +++ disconnect +++",
    ]


def test_a_process_is_known_when_it_has_asked_who_it_is() -> None:
    talk = Talk()
    talk.request(2, 20)
    talk.answer(2, 0, 7, 1)
    talk.server(Frame(0, REQ, RAISE, 25, b"").encode())
    assert talk.lines == ["7 +++ process 7 on c1 +++", "7.1 getpid() = 7", "7 --- SIGXFSZ ---"]


@pytest.mark.parametrize(
    ("side", "data", "why"),
    [
        ("server", b"HTTP/1.1 400 Bad Request\r\n", "a server begins with RUMPSP-"),
        ("server", b"RUMPSP-" + b"x" * 200, "a server begins with RUMPSP-"),
        ("client", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "a frame of"),
        ("client", Frame(1, REQ, SYSCALL, 20, b"").encode(), "a request that the protocol does not have"),
    ],
)
def test_a_foreign_stream_is_given_up_once(side: str, data: bytes, why: str) -> None:
    records: list[Record] = []
    tracer = Trace(records.append, lambda: 0.0).connection()
    for _ in range(3):
        getattr(tracer, side)(memoryview(data))
    tracer.close()
    connect, stopped, disconnect = lines(records)
    assert (connect, disconnect) == ("c1 +++ connect +++", "c1 +++ disconnect +++")
    assert stopped.startswith(f"c1 +++ tracing of c1 stopped: {why}")


def test_json() -> None:
    records: list[Record] = []
    talk = Talk()
    talk.request(2, 5, PTR, 0x601, 0o644)
    talk.copyin(PTR, b"/a\xff\0")
    talk.answer(2, 2)
    talk.request(3, 4, 1, PTR, 40)
    talk.copyin(PTR, b"z" * 40)
    talk.answer(3, 0, 40)
    records = talk.records
    first, second = (json.loads(json.dumps(kdump.document(record))) for record in records)
    assert first == {
        "at": 0, "connection": 1, "pid": None, "event": "call", "lwp": 1, "call": "open",
        "args": {
            "path": {"b64": "L2H/", "length": 3},
            "flags": "O_WRONLY|O_CREAT|O_TRUNC",
            "mode": "0644",
        },
        "result": None, "error": "ENOENT", "elapsed": 0,
    }  # fmt: skip
    assert second["args"] == {"fd": 1, "buf": {"text": "z" * 32, "length": 40}, "nbyte": 40}
    assert (second["result"], second["error"]) == (40, None)


# --- whatever comes -----------------------------------------------------------------------------------


def test_every_style_belongs_to_an_argument() -> None:
    known = {arg.name for row in syscalls.SYSCALLS for arg in row.args}
    known |= {f"{row.name}.{arg.name}" for row in syscalls.SYSCALLS for arg in row.args}
    assert set(styles.BY_ARGUMENT) <= known
    assert set(styles.BY_RESULT) <= set(syscalls.BY_NAME)


def test_a_structure_is_as_long_as_the_table_says() -> None:
    for row in syscalls.SYSCALLS:
        for arg in row.args:
            style = styles.style_of(row, arg.name)
            if isinstance(style, styles.Layout) and arg.kind in (syscalls.IN, syscalls.OUT):
                assert style.code.size == arg.size, (row.name, arg.name)


def test_earlier_versions_of_structures() -> None:
    """compat/sys/time.h, stat.h: seconds of 32 bits; in struct stat12 a mode of 16 bits behind st_ino."""
    assert called(240, PTR, 0, given={PTR: struct.pack("<i4xq", -1, 5)}) == (
        "compat_50_nanosleep({tv_sec=-1, tv_nsec=5}, NULL) = 0"
    )
    stat12 = (
        struct.pack("<IIHHIII", 1, 77, 0o100640, 2, 10, 20, 0)
        + bytes(48)
        + struct.pack("<qqIII20x", 99, 0, 0, 0, 0)
    )
    assert len(stat12) == 120
    assert called(188, PTR, PTR2, given={PTR: b"/f\0"}, stored={PTR2: stat12}) == (
        'compat_12_stat12("/f", '
        "{st_ino=77, st_mode=S_IFREG|0640, st_nlink=2, st_uid=10, st_gid=20, st_size=99}) = 0"
    )
    event = kevent(3, 0, 1, 0) + bytes(32)
    assert called(501, 5, PTR, 2, 0, 0, 0, given={PTR: event * 2}).count("{ident=3, filter=EVFILT_READ,") == 2


WORDS = st.sampled_from([0, 1, 2, 3, 8, 2**31, 2**63, 2**64 - 1, PTR, PTR2])
CONTENT = st.dictionaries(st.sampled_from([PTR, PTR2, PTR + 8]), st.binary(max_size=400), max_size=3)


@given(
    st.sampled_from([*syscalls.SYSCALLS, None]),
    st.lists(WORDS | st.integers(0, 2**64 - 1), max_size=9),
    CONTENT,
    CONTENT,
    st.sampled_from([None, 0, 2, 300, -3]),
    st.integers(0, 9),
)
def test_no_arguments_and_no_memory_break_a_line(
    row: syscalls.Syscall | None,
    slots: list[int],
    given: dict[int, bytes],
    stored: dict[int, bytes],
    error: int | None,
    refused: int,
) -> None:
    inward, outward = Memory(), Memory()
    for memory, content in ((inward, given), (outward, stored)):
        for addr, data in content.items():
            memory.add(addr, data, len(data) + len(data) % 3)
    block = struct.pack(f"<{len(slots)}Q", *slots)
    number = row.number if row else 511
    call = Called(
        Origin(1, None, 0), 1, 0, number, row, block, inward, outward, error, (2**63 - 1, -1), refused
    )
    line = kdump.text(call)
    assert line.isprintable()
    assert f" {row.name if row else 'syscall_511'}(" in line
    json.dumps(kdump.document(call))


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=20))
def test_no_bytes_break_a_tracer(pieces: list[tuple[bool, bytes]]) -> None:
    records: list[Record] = []
    tracer = Trace(records.append, lambda: 0.0).connection()
    tracer.server(memoryview(BANNER))
    for from_client, data in pieces:
        (tracer.client if from_client else tracer.server)(memoryview(data))
    tracer.close()
    assert all(line.isprintable() for line in lines(records))


def frames() -> Iterator[bytes]:
    """Yield frames of every class and kind, whole and too short."""
    for cls in (REQ, RESP, ERROR):
        for kind in range(wire.RAISE + 1):
            for body in (b"", bytes(8), bytes(16), bytes(24), struct.pack("<QQ", 0, PTR)):
                yield Frame(1, cls, kind, 20, body).encode()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(list(frames()))), max_size=30))
def test_no_order_of_frames_breaks_a_tracer(pieces: list[tuple[bool, bytes]]) -> None:
    talk = Talk()
    for from_client, data in pieces:
        (talk.client if from_client else talk.server)(data)
    talk.tracer.close()
    assert talk.lines[-1] == "c1 +++ disconnect +++"
