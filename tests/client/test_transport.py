"""The client against servers that do what the protocol allows and no recording shows, and what it forbids."""

from __future__ import annotations

import errno
import os
import pickle
import select
import signal
import socket
import threading
from pathlib import Path

import pytest

from rumpfs.client import Client, ConnectionLost, RumpError
from rumpfs.client.errors import rump_error
from rumpfs.client.raw import EXECFD, PARSEDSERVER, RawClient, raise_signal
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.url import UrlError
from tests.client.peer import PATIENCE, Peer, Server, copyin, copyout

# --- connecting -----------------------------------------------------------------------------------------


def test_nothing_at_the_socket(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        Client(f"unix://{tmp_path}/none")
    assert raised.value.filename == f"unix://{tmp_path}/none"


def test_nobody_listens_at_the_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead")
    with pytest.raises(ConnectionRefusedError):
        Client(f"unix://{tmp_path}/dead")


@pytest.mark.parametrize(
    ("greeting", "text"),
    [(b"", "no room"), (b"220 mail ready\r\n", "not a rump kernel"), (b"RUMPSP-0.4", "not a rump kernel")],
)
def test_something_else_at_the_socket(tmp_path: Path, greeting: bytes, text: str) -> None:
    with Peer(tmp_path, lambda server: None, greeting) as peer, pytest.raises(ConnectionLost, match=text):
        Client(peer.url)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    done = threading.Event()

    def wait(server: Server) -> None:
        done.wait(PATIENCE)

    with Peer(tmp_path, wait, b"") as peer:
        with pytest.raises(ConnectionLost, match="no answer within"):
            Client(peer.url, timeout=0.05)
        done.set()


def test_an_address_that_cannot_be_connected_to() -> None:
    with pytest.raises(UrlError, match="client needs !INADDR_ANY"):
        Client("tcp://0:3755/")


def test_the_environment_names_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARSEDSERVER, raising=False)
    monkeypatch.delenv("RUMP_SERVER", raising=False)
    with pytest.raises(FileNotFoundError, match="RUMP_SERVER is not set"):
        Client()
    with Peer(tmp_path, lambda server: None) as peer:
        # the one that exec leaves wins
        monkeypatch.setenv("RUMP_SERVER", f"unix://{tmp_path}/none")
        monkeypatch.setenv(PARSEDSERVER, peer.url)
        Client().close()


def test_a_connection_that_exec_should_have_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUMP_SERVER", f"unix://{tmp_path}/none")
    monkeypatch.setenv(EXECFD, "9999,9999")
    with pytest.raises(ConnectionLost, match=EXECFD):
        Client()
    assert EXECFD not in os.environ


@pytest.mark.parametrize(
    ("code", "name"), [(2, "EPERM"), (3, "ESRCH"), (4, "EIO"), (5, "EBUSY"), (6, "ENOMEM"), (7, "EINVAL")]
)
def test_a_refused_handshake(tmp_path: Path, code: int, name: str) -> None:
    def refuse(server: Server) -> None:
        server.send(wire.BANNER)
        server.send(wire.error(server.frame().reqno, code))
        assert server.at_end()

    with Peer(tmp_path, refuse, b"") as peer, pytest.raises(RumpError) as raised:
        Client(peer.url)
    assert raised.value.errno == getattr(errno, name)


# --- answers --------------------------------------------------------------------------------------------


def test_a_server_without_memory_is_asked_again_with_the_next_number(tmp_path: Path) -> None:
    def busy(server: Server) -> None:
        numbers = [server.slots()[0]]
        for _ in range(3):
            server.send(wire.error(numbers[-1], wire.ERR_TRYAGAIN))
            numbers.append(server.slots()[0])
        assert numbers == [2, 3, 4, 5]
        server.send(wire.sysresp(5, 0, 77))

    with Peer(tmp_path, busy) as peer, Client(peer.url) as client:
        assert client.sys.getpid() == 77


def test_a_refused_call_leaves_the_connection(tmp_path: Path) -> None:
    def refuse(server: Server) -> None:
        server.send(wire.error(server.frame().reqno, wire.ERR_MALFORMED_REQUEST))
        server.send(wire.sysresp(server.frame().reqno, 0, 3))

    with Peer(tmp_path, refuse) as peer, Client(peer.url) as client:
        with pytest.raises(RumpError) as raised:
            client.sys.dup(1)
        assert raised.value.errno == errno.EINVAL
        assert client.sys.dup(1) == 3


def test_an_answer_to_nobody_is_dropped(tmp_path: Path) -> None:
    def stray(server: Server) -> None:
        reqno = server.frame().reqno
        server.send(wire.sysresp(999, 0, 1), wire.error(998, 7), wire.sysresp(reqno, 0, 2))

    with Peer(tmp_path, stray) as peer, Client(peer.url) as client:
        assert client.sys.getpid() == 2


def test_a_short_answer_ends_the_connection(tmp_path: Path) -> None:
    def short(server: Server) -> None:
        server.send(wire.frame(server.frame().reqno, wire.RESP, wire.SYSCALL, 0, bytes(8)))
        assert server.at_end()

    too_short = pytest.raises(ConnectionLost, match="8 bytes")
    with Peer(tmp_path, short) as peer, Client(peer.url) as client, too_short:
        client.sys.getpid()


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    def leave(server: Server) -> None:
        server.frame()

    with Peer(tmp_path, leave) as peer, Client(peer.url) as client:
        for _ in range(2):
            with pytest.raises(ConnectionLost) as raised:
                client.sys.getpid()
            assert raised.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_server_that_goes_away_in_the_middle_of_data(tmp_path: Path, size: int) -> None:
    def leave(server: Server) -> None:
        _, _, addr, *_ = server.slots()
        server.send(copyout(0, addr, bytes(size))[: 40 + size // 2])

    for into in (size, bytearray(size)):
        with Peer(tmp_path, leave) as peer, Client(peer.url) as client:
            with pytest.raises(ConnectionLost, match="closed"):
                client.sys.read(3, into)
            (tmp_path / "peer").unlink()


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    with Peer(tmp_path, lambda server: None) as peer:
        client = Client(peer.url)
        client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            client.sys.getpid()


def test_only_the_results_of_unsigned_calls_are_unsigned(tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        for _ in range(2):
            server.send(wire.sysresp(server.frame().reqno, 0, -2))

    with Peer(tmp_path, answer) as peer, Client(peer.url) as client:
        assert client.sys.getuid() == 2**32 - 2
        assert client.sys.getpid() == -2


def test_a_call_that_returns_its_errno_raises_it(tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        server.send(wire.sysresp(server.frame().reqno, 0, 45))
        server.send(wire.sysresp(server.frame().reqno, 78, 9))

    with Peer(tmp_path, answer) as peer, Client(peer.url) as client:
        with pytest.raises(RumpError) as raised:
            client.sys.posix_fallocate(3, 0, 10)
        assert raised.value.netbsd_errno == 45
        assert client.sys.getpid() == 9  # its error field is not looked at


# --- memory ---------------------------------------------------------------------------------------------


def test_data_in_pieces_out_of_order_is_put_together(tmp_path: Path) -> None:
    def pieces(server: Server) -> None:
        reqno, _, addr, *_ = server.slots()
        server.send(copyout(0, addr + 6, b"world"), copyout(1, addr, b"hello "), wire.sysresp(reqno, 0, 11))

    with Peer(tmp_path, pieces) as peer, Client(peer.url) as client:
        assert client.sys.read(3, 100) == b"hello world"


def test_large_data_arrives_where_it_belongs(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)

    def send(server: Server) -> None:
        for _ in range(2):
            reqno, _, addr, *_ = server.slots()
            server.send(copyout(0, addr, data[: 1 << 20]), copyout(1, addr + (1 << 20), data[1 << 20 :]))
            server.send(wire.sysresp(reqno, 0, len(data)))

    with Peer(tmp_path, send) as peer, Client(peer.url) as client:
        assert client.sys.read(3, len(data)) == data
        buffer = bytearray(len(data) + 10)
        assert client.sys.pread(3, buffer, 5) == len(data)
        assert buffer == data + bytes(10)


def test_a_read_of_everything_takes_no_memory_for_what_does_not_come(tmp_path: Path) -> None:
    def send(server: Server) -> None:
        reqno, _, addr, size = server.slots()
        assert size == 2**63 - 1
        server.send(copyout(0, addr, b"all"), wire.sysresp(reqno, 0, 3))

    with Peer(tmp_path, send) as peer, Client(peer.url) as client:
        assert client.sys.read(3, 2**63 - 1) == b"all"


def test_a_string_is_sent_up_to_its_nul_or_to_the_limit(tmp_path: Path) -> None:
    def ask(server: Server) -> None:
        reqno, addr = server.slots()
        server.send(copyin(0, 1024, addr, wire.COPYINSTR), copyin(1, 4, addr, wire.COPYINSTR))
        server.send(copyin(2, 9, addr + 5, wire.COPYINSTR), copyin(3, 3, addr + 1))
        answers = [server.frame() for _ in range(4)]
        assert [answer.body for answer in answers] == [b"/etc/rc\0", b"/etc", b"rc\0", b"etc"]
        assert {(answer.cls, answer.kind) for answer in answers} == {(wire.RESP, wire.COPYIN)}
        server.send(wire.sysresp(reqno, 0, 0))

    with Peer(tmp_path, ask) as peer, Client(peer.url) as client:
        client.chdir("/etc/rc")


def test_memory_of_the_client_for_lwpctl(tmp_path: Path) -> None:
    def mmap(server: Server) -> None:
        reqno = server.frame().reqno
        ask = wire.HEADER.pack(32, 5, wire.REQ, wire.ANONMMAP, 0)
        server.send(ask + (4096).to_bytes(8, "little"), ask + (1 << 40).to_bytes(8, "little"))
        there, refused = server.frame(), server.frame()
        assert (there.reqno, there.cls, there.kind) == (5, wire.RESP, wire.ANONMMAP)
        addr = int.from_bytes(there.body, "little")
        assert addr
        assert refused.body == bytes(8)
        server.send(copyout(0, addr + 4000, b"x" * 96), copyin(1, 97, addr + 3999))
        assert server.frame().body == b"\0" + b"x" * 96
        server.send(wire.sysresp(reqno, 0, 4))

    with Peer(tmp_path, mmap) as peer, Client(peer.url) as client:
        assert client.sys.getpid() == 4


def wild(server: Server, kind: str) -> None:
    _, path, size_or_buffer, *_ = server.slots()
    frames = {
        "read of nowhere": copyin(0, 8, 0x1234),
        "string at nowhere": copyin(0, 8, 2**64 - 1, wire.COPYINSTR),
        "store at nowhere": copyout(0, 0xDEADBEEF, b"data"),
        "large store at nowhere": copyout(0, 0xDEADBEEF, bytes(1 << 20))[:1000],
        "behind the end": copyin(0, 9, path),
        "before the start": copyin(0, 1, path - 1),
        "over what is to be read": copyout(0, path, b"x"),
        "more than there is room": copyout(0, size_or_buffer, bytes(17)),
        "read of room": copyin(0, 4, size_or_buffer),
        "string of room": copyin(0, 4, size_or_buffer, wire.COPYINSTR),
    }
    server.send(frames[kind])
    assert server.at_end()


@pytest.mark.parametrize("kind", [
    "read of nowhere", "string at nowhere", "store at nowhere", "large store at nowhere",
    "behind the end", "before the start", "over what is to be read", "more than there is room",
    "read of room", "string of room",
])  # fmt: skip
def test_a_wild_pointer_ends_the_connection_and_never_hangs(tmp_path: Path, kind: str) -> None:
    wildness = pytest.raises(ConnectionLost, match=r"address|at 0x")
    with Peer(tmp_path, lambda server: wild(server, kind)) as peer, Client(peer.url) as client, wildness:
        client.sys.readlink("/links1", 16)


def test_an_address_is_wild_when_its_call_is_over(tmp_path: Path) -> None:
    def late(server: Server) -> None:
        reqno, path = server.slots()
        server.send(wire.sysresp(reqno, 0, 0))
        server.frame()
        server.send(copyin(0, 4, path))
        assert server.at_end()

    with Peer(tmp_path, late) as peer, Client(peer.url) as client:
        client.chdir("/etc")
        with pytest.raises(ConnectionLost, match="no call gave"):
            client.sys.getpid()


# --- both directions at once ----------------------------------------------------------------------------


def test_both_directions_full_at_once(tmp_path: Path) -> None:
    """A server that reads nothing before it has sent 4 MiB, while it has asked for 4 MiB."""
    data = os.urandom(4 << 20)
    back = os.urandom(4 << 20)

    def flood(server: Server) -> None:
        first, second = server.slots(), server.slots()
        reading, writing = sorted([first, second], key=lambda call: call[1])
        pieces = range(0, len(data), 32768)
        server.send(*(copyin(number, 32768, writing[2] + at) for number, at in enumerate(pieces)))
        server.send(copyout(1000, reading[2], back), wire.sysresp(reading[0], 0, len(back)))
        for number, at in enumerate(pieces):
            answer = server.frame()
            assert (answer.reqno, answer.body == data[at : at + 32768]) == (number, True)
        server.send(wire.sysresp(writing[0], 0, len(data)))

    with Peer(tmp_path, flood) as peer, Client(peer.url) as client:
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(client.sys.read(3, len(back))))
        reader.start()
        assert client.sys.write(4, data) == len(data)
        reader.join()
        assert got == [back]


def test_a_blocked_call_stops_no_other(tmp_path: Path) -> None:
    def serve(server: Server) -> None:
        blocked, *_ = server.slots()
        for number in range(50):
            server.send(wire.sysresp(server.frame().reqno, 0, number))
        server.send(wire.sysresp(blocked, 0, 0))

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        started = threading.Event()
        results: list[bytes] = []

        def block() -> None:
            started.set()
            results.append(client.sys.read(3, 10))

        thread = threading.Thread(target=block)
        thread.start()
        started.wait(PATIENCE)
        while not client._transport._reader:
            os.sched_yield()
        assert [client.sys.getpid() for _ in range(50)] == list(range(50))
        thread.join()
        assert results == [b""]


@pytest.mark.parametrize("threads", [2, 5])
def test_reading_is_passed_on(tmp_path: Path, threads: int) -> None:
    """Each thread is answered only when the one before, which read for it, has gone."""
    arrived = [threading.Event() for _ in range(threads)]
    gone = [threading.Event() for _ in range(threads)]

    def serve(server: Server) -> None:
        requests = []
        for event in arrived:
            requests.append(server.slots())
            event.set()
        for (reqno, fd), event in zip(requests, gone, strict=True):
            server.send(wire.sysresp(reqno, 0, fd))
            assert event.wait(PATIENCE)

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        results: list[int] = []

        def call(number: int) -> None:
            results.append(client.sys.dup(number))
            gone[number].set()

        running = []
        for number in range(threads):
            running.append(threading.Thread(target=call, args=(number,)))
            running[-1].start()
            assert arrived[number].wait(PATIENCE)
        for thread in running:
            thread.join()
        assert results == list(range(threads))


def test_many_threads_get_their_own_answers(tmp_path: Path) -> None:
    calls = 8 * 50

    def serve(server: Server) -> None:
        """Answer what is there together, the last one first."""
        held: list[list[int]] = []
        for _ in range(calls):
            held.append(server.slots())
            more, _, _ = select.select([server.sock], [], [], 0)
            if not more:
                server.send(*(wire.sysresp(reqno, 0, fd + 1000) for reqno, fd in reversed(held)))
                held.clear()

    with Peer(tmp_path, serve) as peer, Client(peer.url) as client:
        wrong: list[tuple[int, int]] = []

        def work(base: int) -> None:
            for number in range(base, base + 50):
                got = client.sys.dup(number)
                if got != number + 1000:
                    wrong.append((number, got))

        threads = [threading.Thread(target=work, args=(base,)) for base in range(0, calls, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_all_threads_learn_that_the_connection_is_lost(tmp_path: Path) -> None:
    def leave(server: Server) -> None:
        for _ in range(5):
            server.frame()

    with Peer(tmp_path, leave) as peer, Client(peer.url) as client:
        lost: list[str] = []

        def call() -> None:
            with pytest.raises(ConnectionLost) as raised:
                client.sys.read(3, 10)
            lost.append(str(raised.value.strerror))

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lost) == 5


# --- signals --------------------------------------------------------------------------------------------


def raising(signo: int) -> object:
    def act(server: Server) -> None:
        server.send(wire.frame(0, wire.REQ, wire.RAISE, signo), wire.sysresp(server.frame().reqno, 32, -1))

    return act


def test_a_signal_comes_after_its_call(tmp_path: Path) -> None:
    seen: list[int] = []
    broken = pytest.raises(BrokenPipeError)
    with Peer(tmp_path, raising(13)) as peer, Client(peer.url, on_signal=seen.append) as client, broken:
        client.sys.write(3, b"x")
    assert seen == [13]


def test_a_signal_has_the_hosts_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    # NetBSD's SIGUSR1 is 30; that is SIGPWR on Linux.
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with Peer(tmp_path, raising(30)) as peer, Client(peer.url) as client, pytest.raises(BrokenPipeError):
            client.sys.write(3, b"x")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_a_signal_that_would_end_the_program_is_left_out() -> None:
    assert signal.getsignal(signal.SIGSYS) is signal.SIG_DFL
    raise_signal(12)  # SIGSYS in NetBSD
    raise_signal(7)  # SIGEMT, which Linux lacks
    raise_signal(4711)


def test_an_interrupted_call_ends_the_connection(tmp_path: Path) -> None:
    def interrupt(server: Server) -> None:
        server.frame()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert server.at_end()

    with Peer(tmp_path, interrupt) as peer, Client(peer.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.sys.read(3, 10)
        with pytest.raises(ConnectionLost, match="KeyboardInterrupt during a call"):
            client.sys.getpid()


def test_a_call_inside_of_a_call_is_refused(tmp_path: Path) -> None:
    refused = threading.Event()

    def interrupt(server: Server) -> None:
        reqno = server.frame().reqno
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert refused.wait(PATIENCE)
        server.send(wire.sysresp(reqno, 0, 5))
        server.send(wire.sysresp(server.frame().reqno, 0, 6))

    with Peer(tmp_path, interrupt) as peer, Client(peer.url) as client:

        def handle(*_: object) -> None:
            with pytest.raises(RuntimeError, match="inside of a call"):
                client.sys.getpid()
            refused.set()

        before = signal.signal(signal.SIGUSR1, handle)
        try:
            assert client.sys.dup(3) == 5  # the call outside goes on
            assert client.sys.dup(3) == 6
        finally:
            signal.signal(signal.SIGUSR1, before)


# --- files, errors --------------------------------------------------------------------------------------


def test_a_forgotten_file_is_closed_by_the_next_open(tmp_path: Path) -> None:
    def serve(server: Server) -> None:
        server.send(wire.sysresp(server.frame().reqno, 0, 3))
        closing = server.frame()
        assert (closing.union, closing.body) == (6, (3).to_bytes(8, "little"))
        server.send(wire.sysresp(closing.reqno, 0, 0))
        server.send(wire.sysresp(server.frame().reqno, 0, 3))

    with Peer(tmp_path, serve) as peer:
        client = Client(peer.url)
        forgotten = [client.open("/a")]
        with pytest.warns(ResourceWarning, match="unclosed file"):
            forgotten.clear()
        second = client.open("/b")
        client.close()
        second.close()  # which the end of the connection has done


@pytest.mark.parametrize(
    ("number", "kind", "host"),
    [
        (2, FileNotFoundError, "ENOENT"),
        (13, PermissionError, "EACCES"),
        (17, FileExistsError, "EEXIST"),
        (35, BlockingIOError, "EAGAIN"),
        (4, InterruptedError, "EINTR"),
        (66, OSError, "ENOTEMPTY"),
        (78, OSError, "ENOSYS"),
        (93, OSError, "ENODATA"),
        (4711, OSError, "EIO"),
    ],
)
def test_an_error_is_the_hosts_and_netbsds(number: int, kind: type[OSError], host: str) -> None:
    error = rump_error(number, "/path", b"/other")
    assert isinstance(error, kind)
    assert isinstance(error, RumpError)
    assert (error.errno, error.netbsd_errno) == (getattr(errno, host), number)
    assert (error.filename, error.filename2) == ("/path", b"/other")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.netbsd_errno, str(copy)) == (type(error), number, str(error))


def test_a_raw_client_does_calls_by_number(tmp_path: Path) -> None:
    def serve(server: Server) -> None:
        reqno, *slots = server.slots()
        assert slots == [5, 2**64 - 1]
        server.send(wire.sysresp(reqno, 0, 6, 7))
        server.send(wire.sysresp(server.frame().reqno, 78, 0))

    with Peer(tmp_path, serve) as peer, RawClient(peer.url) as client:
        assert client.syscall(300, 5, -1) == (6, 7)
        with pytest.raises(RumpError) as raised:
            client.syscall(37)
        assert raised.value.netbsd_errno == 78


def test_closing_ends_a_call_that_waits(tmp_path: Path) -> None:
    arrived = threading.Event()

    def hold(server: Server) -> None:
        server.frame()
        arrived.set()
        assert server.at_end()

    with Peer(tmp_path, hold) as peer:
        client = Client(peer.url)
        lost: list[str] = []

        def wait() -> None:
            with pytest.raises(ConnectionLost) as raised:
                client.sys.read(3, 1)
            lost.append(str(raised.value.strerror))

        thread = threading.Thread(target=wait)
        thread.start()
        arrived.wait(PATIENCE)
        client.close()
        thread.join()
    assert lost == [f"{peer.url}: the client was closed"]
