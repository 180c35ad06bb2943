"""The client with a real server: the file API, raw calls, threads, fork and exec."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi import fcntl
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.client import Client, ConnectionLost, RemoteFile, RumpError
from tests.images_util import manifest, netbsd_image
from tests.serving import serving

IMAGE = "clean-v2be-16k-2k"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with every component, and nothing mounted but its root."""
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """A client in an empty tmpfs."""
    with Client(url) as client:
        client.mkdir("/t")
        client.mount("tmpfs", None, "/t")
        client.chdir("/t")
        yield client
        client.chdir("/")
        client.unmount("/t", 0x80000)
        client.rmdir("/t")


# --- files ----------------------------------------------------------------------------------------------


def test_a_file_is_a_raw_stream(client: Client) -> None:
    with client.open("f", "w+b") as file:
        assert isinstance(file, io.RawIOBase)
        assert (file.readable(), file.writable(), file.seekable()) == (True, True, True)
        assert file.write(b"hello, rump\n") == 12
        assert (file.seek(0), file.tell(), file.read(5), file.tell()) == (0, 0, b"hello", 5)
        assert file.pread(4, 7) == b"rump"
        assert file.pwrite(b"RUMP", 7) == 4
        assert (file.seek(-5, 2), file.read()) == (7, b"RUMP\n")
        assert file.read(1) == b""
        buffer = bytearray(20)
        assert file.pread(buffer, 0) == 12
        assert buffer[:12] == b"hello, RUMP\n"
        assert file.truncate(5) == 5
        assert (file.stat().st_size, file.seek(0, 2)) == (5, 5)
        file.sync()
    with pytest.raises(ValueError, match="closed"):
        file.read()
    file.close()


def test_buffered_and_text_streams_go_on_top(client: Client) -> None:
    with io.BufferedWriter(client.open("lines", "wb")) as out:
        for number in range(3000):
            out.write(b"line %d\n" % number)
    with io.TextIOWrapper(io.BufferedReader(client.open("lines"))) as lines:
        assert [line.rstrip() for line in lines] == [f"line {number}" for number in range(3000)]
    with client.open("lines", "ab") as more:
        more.write(b"end\n")
    with client.open("lines") as file:
        assert file.readall().endswith(b"line 2999\nend\n")


def test_modes_of_open(client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        client.open("new", "r+b")
    client.open("new", "xb", perm=0o640).close()
    assert client.stat("new").st_mode == stat.S_IFREG | 0o640
    with pytest.raises(FileExistsError) as raised:
        client.open("new", "xb")
    assert (raised.value.filename, raised.value.netbsd_errno) == ("new", 17)
    with client.open("new") as file, pytest.raises(RumpError) as refused:
        file.write(b"x")
    assert refused.value.errno == errno.EBADF
    for mode in ("", "rw", "rt", "z", "r++"):
        with pytest.raises(ValueError, match="mode"):
            client.open("new", mode)
    with pytest.raises(ValueError, match="BufferedReader"):
        client.open("new", buffering=1)


def test_large_files_are_moved_whole(client: Client) -> None:
    data = os.urandom(9 << 20)
    with client.open("big", "w+b") as file:
        done = 0
        while done < len(data):
            done += file.write(memoryview(data)[done:])
        file.seek(0)
        assert hashlib.sha256(file.readall()).digest() == hashlib.sha256(data).digest()
        buffer = bytearray(len(data))
        assert client.sys.pread(file.fd, buffer, 0) == len(data)
        assert buffer == data
        assert client.sys.pread(file.fd, len(data), 1) == data[1:]
        assert client.sys.pwrite(file.fd, data, 3) == len(data)
        assert client.sys.pread(file.fd, 10, 3) == data[:10]


def test_attributes(client: Client) -> None:
    client.open("f", "wb", perm=0o666).close()
    before = client.stat("f")
    assert before.st_mode == stat.S_IFREG | 0o644  # umask 022
    assert (before.st_nlink, before.st_uid, before.st_gid, before.st_size) == (1, 0, 0, 0)
    assert before.st_birthtime_ns == before.st_mtime_ns
    assert before.st_mtime == pytest.approx(before.st_mtime_ns / 1e9)
    client.chown("f", 70000, -1)
    client.chmod("f", 0o4751)
    client.utimens("f", (1_000_000_001, 2_000_000_000_000_000_002))
    after = client.stat("f")
    assert (after.st_mode, after.st_uid, after.st_gid) == (stat.S_IFREG | 0o4751, 70000, 0)
    assert (after.st_atime_ns, after.st_mtime_ns) == (1_000_000_001, 2_000_000_000_000_000_002)
    client.utimens("f", (-1_500_000_000, 5))
    assert client.stat("f").st_atime_ns == -1_500_000_000
    client.utimens("f")
    assert client.stat("f").st_mtime_ns > 1_700_000_000_000_000_000
    with client.open("f") as file:
        assert file.stat() == client.stat(file.fd) == client.stat("f")


def test_names(client: Client) -> None:
    client.mkdir("d", 0o700)
    client.symlink("d/target", "link")
    assert (client.readlink("link"), client.readlink(b"link")) == ("d/target", b"d/target")
    assert client.exists("link")
    assert not client.exists("link/x")
    with pytest.raises(FileNotFoundError):
        client.stat("link")
    assert client.lstat("link") == client.stat("link", follow_symlinks=False)
    client.open("d/target", "wb").close()
    assert client.stat("link").st_ino == client.stat("d/target").st_ino
    client.link("d/target", "second")
    assert client.stat("second").st_nlink == 2
    client.rename("second", "d/third")
    assert sorted(client.listdir("d")) == ["target", "third"]
    with pytest.raises(OSError, match="not empty") as raised:
        client.rmdir("d")
    assert raised.value.errno == errno.ENOTEMPTY
    with pytest.raises(FileNotFoundError) as missing:
        client.rename("none", b"other")
    assert (missing.value.filename, missing.value.filename2) == ("none", b"other")
    client.unlink("d/target")
    client.truncate("d/third", 10)
    client.unlink("d/third")
    client.rmdir("d")
    assert client.getcwd() == b"/t"


def test_names_that_are_not_utf8(client: Client) -> None:
    name = bytes([*range(1, 47), *range(48, 256)])
    client.open(name, "wb").close()
    client.mkdir("\udcff")
    entries = {entry.name: entry for entry in client.scandir(b".")}
    assert set(entries) == {name, b"\xff"}
    assert entries[name].ino == client.stat(name).st_ino
    assert (entries[name].type, entries[b"\xff"].type) == (8, 4)  # DT_REG, DT_DIR
    assert set(client.listdir()) == {os.fsdecode(name), "\udcff"}
    with pytest.raises(RumpError) as raised:
        client.stat(b"x" * 2000)
    assert raised.value.errno == errno.ENAMETOOLONG


def test_a_directory_of_many_entries(client: Client) -> None:
    names = [f"file-with-a-name-{number}" for number in range(3000)]
    for name in names:
        client.sys.close(client.sys.open(name, fcntl.O_CREAT | fcntl.O_WRONLY, 0o600))
    assert sorted(client.listdir()) == sorted(names)


def test_file_systems(client: Client) -> None:
    mounts = client.getvfsstat()
    assert [(vfs.f_mntonname, vfs.f_fstypename) for vfs in mounts] == [(b"/", b"rumpfs"), (b"/t", b"tmpfs")]
    client.mkdir("small")
    client.mount("tmpfs", "x", "small", MNT_RDONLY, {"size": 1 << 20, "mode": 0o751, "uid": 7, "nodes": 100})
    there = client.stat("small")
    assert (there.st_mode & 0o7777, there.st_uid) == (0o751, 7)
    vfs = client.statvfs("small")
    assert vfs.f_blocks * vfs.f_frsize == 1 << 20
    assert "ro" in vfs.options
    with pytest.raises(RumpError) as raised:
        client.mkdir("small/x")
    assert raised.value.errno == errno.EROFS
    client.unmount("small")
    client.sync()


def test_mounts_that_fail(client: Client) -> None:
    client.mkdir("m")
    for fstype, source, path, name in [
        ("nosuch", "x", "m", "ENODEV"),
        ("ffs", "/dev/none", "m", "ENOENT"),
        ("ffs", "/t", "m", "ENOTBLK"),
        ("tmpfs", None, "none", "ENOENT"),
    ]:
        with pytest.raises(RumpError) as raised:
            client.mount(fstype, source, path)
        assert (raised.value.errno, raised.value.filename) == (getattr(errno, name), path)
    with pytest.raises(ValueError, match="no option 'blocks'"):
        client.mount("tmpfs", None, "m", options={"blocks": 1})
    with pytest.raises(ValueError, match="block device"):
        client.mount("ffs", None, "m")


def test_an_image_reads_as_its_manifest_says(tmp_path: Path) -> None:
    facts = manifest(IMAGE)
    drive = f"key=/dev/dk,hostpath={netbsd_image(IMAGE)},size=host,ro"
    with serving(tmp_path, "-d", drive) as served, Client(served.url) as client:
        client.mkdir("/m")
        client.mount("ffs", "/dev/dk", "/m", MNT_RDONLY)
        found = {}
        pending = [""]
        while pending:
            path = pending.pop()
            found[path or "/"] = client.lstat(f"/m{path}")
            if stat.S_ISDIR(found[path or "/"].st_mode):
                pending += [f"{path}/{name}" for name in client.listdir(f"/m{path}")]
        assert set(found) == {entry["path"] for entry in facts["entries"]}
        for entry in facts["entries"]:
            st = found[entry["path"]]
            assert f"{st.st_mode & 0o7777:04o}" == entry["mode"]
            assert (st.st_uid, st.st_gid, st.st_nlink) == (entry["uid"], entry["gid"], entry["nlink"])
            assert (st.st_ino, st.st_size, st.st_blocks) == (entry["ino"], entry["size"], entry["blocks"])
            assert st.st_mtime_ns == entry["mtime"] * 10**9 + entry["mtime_nsec"]
            assert st.st_flags == entry.get("flags", 0)
            if "sha256" in entry and st.st_size < 8 << 20:
                with client.open(f"/m{entry['path']}") as file:
                    assert hashlib.sha256(file.readall()).hexdigest() == entry["sha256"], entry["path"]
            if "target" in entry:
                assert client.readlink(f"/m{entry['path']}") == entry["target"]


# --- threads, fork, exec --------------------------------------------------------------------------------


def test_threads_share_a_client(client: Client) -> None:
    blocks = [os.urandom(200_000) for _ in range(8)]
    file = client.open("shared", "w+b")
    wrong: list[int] = []

    def work(index: int) -> None:
        block = blocks[index]
        at = index * len(block)
        buffer = bytearray(len(block))
        for _ in range(10):
            file.pwrite(block, at)
            file.pread(buffer, at)
            if buffer != block or client.stat("shared").st_ino != ino or file.pread(100, at) != block[:100]:
                wrong.append(index)

    ino = file.stat().st_ino
    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert not wrong


def test_a_call_that_blocks_stops_no_other(client: Client) -> None:
    reader, writer = client.sys.pipe()
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(client.sys.read(reader, 10))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for number in range(20):
        client.sys.write(writer, b"%02d" % number)
        client.stat("/")
    for thread in threads:
        thread.join()
    assert sorted(b"".join(got)) == sorted(b"".join(b"%02d" % number for number in range(20)))


@pytest.mark.parametrize("others", [0, 2])
def test_an_interrupt_at_any_moment_leaves_no_call_hanging(url: str, others: int) -> None:
    """Whether the connection survives depends on the moment; that all calls end does not."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def calls(client: Client) -> None:
        while True:
            client.sys.getpid()

    def interrupted_calls(client: Client, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        calls(client)

    def others_calls(client: Client) -> None:
        with pytest.raises(ConnectionLost):
            calls(client)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(150):
            client = Client(url)
            threads = [threading.Thread(target=others_calls, args=(client,)) for _ in range(others)]
            for thread in threads:
                thread.start()
            with pytest.raises(KeyboardInterrupt):
                interrupted_calls(client, 0.0005 + turn * 17 % 100 / 50_000)
            try:
                client.sys.getpid()
            except ConnectionLost:
                pass
            client.close()
            for thread in threads:
                thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_halt_ends_calls_that_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        waiting, halting = Client(served.url), Client(served.url)
        reader, _ = waiting.sys.pipe()
        lost: list[bool] = []

        def wait() -> None:
            with pytest.raises(ConnectionLost):
                waiting.sys.read(reader, 1)
            lost.append(True)

        thread = threading.Thread(target=wait)
        thread.start()
        halting.reboot()
        thread.join()
        assert lost == [True]
        waiting.close()
        halting.close()
        served.process.communicate(timeout=20)


def test_prefork_copies_the_process(client: Client) -> None:
    with client.open("f", "w+b") as file:
        file.write(b"text")
        cookie = client.prefork()
        assert len(cookie) == 16
        with Client.from_cookie(client.url, cookie) as child:
            assert child.sys.getppid() == 1
            assert child.getcwd() == b"/t"
            assert child.sys.pread(file.fd, 10, 0) == b"text"
            assert child.sys.lseek(file.fd, 1, 0) == 1
            assert file.tell() == 1  # the same open file
        with pytest.raises(ProcessLookupError):
            Client.from_cookie(client.url, cookie)
        with pytest.raises(ValueError, match="16 bytes"):
            Client.from_cookie(client.url, b"short")


def test_a_prefork_is_cancelled(client: Client) -> None:
    cookie = client.prefork()
    client.prefork_cancel(cookie)
    for _ in range(2):
        with pytest.raises(ProcessLookupError):
            client.prefork_cancel(cookie)
        with pytest.raises(ProcessLookupError):
            Client.from_cookie(client.url, cookie)


def test_exec_keeps_the_process(client: Client) -> None:
    kept, gone = client.sys.open("a", fcntl.O_CREAT, 0o600), client.sys.open("b", fcntl.O_CREAT, 0o600)
    client.sys.fcntl(gone, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    pid = client.sys.getpid()
    client.exec("another")
    assert client.sys.getpid() == pid
    client.sys.fstat(kept)
    with pytest.raises(RumpError) as raised:
        client.sys.fstat(gone)
    assert raised.value.errno == errno.EBADF


def test_exec_interrupts_calls_that_wait(client: Client) -> None:
    reader, _ = client.sys.pipe()
    interrupted: list[bool] = []

    def wait() -> None:
        with pytest.raises(InterruptedError):
            client.sys.read(reader, 1)
        interrupted.append(True)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(client._transport._waiters) + bool(client._transport._reader) < 3:
        os.sched_yield()
    client.exec("another")
    for thread in threads:
        thread.join()
    assert interrupted == [True] * 3
    assert client.listdir() == []


def program(text: str, url: str) -> str:
    """Run a Python program with a client in its own process; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "RUMP_SERVER": url},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fork_of_the_program(url: str) -> None:
    text = (
        "import os\nfrom rumpfs.client import Client\n"
        "c = Client()\nc.mkdir('/tmp/forked')\nc.chdir('/tmp/forked')\nparent = c.sys.getpid()\n"
        "r, w = c.sys.pipe()\n"
        "if (pid := c.fork()) == 0:\n"
        "    c.sys.write(w, b'%d %s' % (c.sys.getpid() != parent, c.getcwd()))\n"
        "    os._exit(0)\n"
        "print(c.sys.read(r, 100).decode(), os.waitpid(pid, 0)[1], c.sys.getpid() == parent)\n"
    )
    assert program(text, url) == "1 /tmp/forked 0 True\n"


def test_exec_of_a_program(url: str) -> None:
    after = (
        "import os\nfrom rumpfs.client import Client\n"
        "c = Client()\nleft = 'RUMPCLIENT__EXECFD' in os.environ\n"
        "print(c.sys.getpid(), c.sys.pread(3, 4, 0).decode(), left)\n"
    )
    before = (
        "import sys\nfrom rumpfs.client import Client\n"
        "c = Client()\nf = c.open('/tmp/over', 'w+b')\nf.write(b'kept')\n"
        "print(f.fd, c.sys.getpid(), flush=True)\n"
        f"c.execve(sys.executable, [sys.executable, '-c', {after!r}])\n"
    )
    first, second = program(before, url).splitlines()
    fd, pid = first.split()
    assert (fd, second) == ("3", f"{pid} kept False")


def test_a_relative_socket_is_found_after_exec_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path):
        # The second client of the new program is a new process, on the url that execve has left.
        after = (
            "from rumpfs.client import Client\nc = Client()\nprint(Client().sys.getpid() > c.sys.getpid())\n"
        )
        before = (
            f"import os, sys\nfrom rumpfs.client import Client\nos.chdir({str(tmp_path)!r})\n"
            "c = Client('unix://sock')\nos.chdir('/')\n"
            "if c.fork() == 0:\n    os._exit(0)\n"
            f"c.execve(sys.executable, [sys.executable, '-c', {after!r}])\n"
        )
        assert program(before, "unix://none") == "True\n"


def test_a_file_says_what_it_is(client: Client) -> None:
    with client.open(b"f", "wb") as file:
        assert isinstance(file, RemoteFile)
        assert repr(file) == f"<RemoteFile b'f' fd={file.fd}>"
    assert repr(file) == "<RemoteFile b'f' closed>"
