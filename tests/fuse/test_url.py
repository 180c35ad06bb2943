"""The files of a running server, mounted by its url."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_FORCE
from rumpfs.abi.syscalls import BY_NAME
from rumpfs.client import Client
from tests.fuse.gate import gate
from tests.fuse.mounts import TIMEOUT, clear, command, is_mounted, mounted
from tests.serving import Served, serving

#: In a server everybody is root; on the host its files then have to be shown as our own.
OWN = "" if os.geteuid() == 0 else f",uid={os.geteuid()},gid={os.getegid()}"
#: the host asks about everything each time
AT_ONCE = ("-o", f"attr_timeout=0,entry_timeout=0{OWN}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    """A client; a new tmpfs is on /t."""
    with Client(server.url, "test") as made:
        made.mkdir("/t")
        made.mount("tmpfs", None, "/t")
        made.chmod("/t", 0o777)
        yield made
        made.unmount("/t", MNT_FORCE)
        made.rmdir("/t")


@pytest.fixture(scope="module")
def whole(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The whole server, mounted."""
    mountpoint = tmp_path_factory.mktemp("whole") / "mnt"
    with mounted("rumpfs mount", *AT_ONCE, server.url, mountpoint=mountpoint) as path:
        yield path


@pytest.fixture
def mnt(client: Client, whole: Path) -> Path:
    """The directory /t of it."""
    return whole / "t"


def soon(action: Callable[[], object]) -> None:
    """Do what may fail for a moment."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            action()
        except OSError:
            assert time.monotonic() < deadline
            os.sched_yield()
        else:
            return


def write(client: Client, path: str, data: bytes) -> None:
    """Write a file, which is then of who runs the tests."""
    with client.open(path, "wb") as file:
        file.write(data)
    client.chown(path, os.geteuid(), -1)


def mkdir(client: Client, path: str) -> None:
    """Make a directory, likewise."""
    client.mkdir(path)
    client.chown(path, os.geteuid(), -1)


def read(client: Client, path: str) -> bytes:
    with client.open(path) as file:
        return file.read()


def failure(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        action()
    return caught.value.errno


# --- mounting -------------------------------------------------------------------------------------


def test_a_url_is_what_is_mounted(server: Served, client: Client, mountpoint: Path) -> None:
    mkdir(client, "/t/home")
    write(client, "/t/home/f", b"here")
    client.chmod("/t/home/f", 0o666)
    with mounted("rumpfs mount", f"{server.url}:/t/home", mountpoint=mountpoint) as mnt:
        line = next(line for line in Path("/proc/mounts").read_text().splitlines() if f" {mnt} " in line)
        source, _, fstype, options, *_ = line.split()
        assert (source, fstype) == (f"{server.url}:/t/home", "fuse.rumpfs")
        assert {"rw", "nosuid", "nodev", "default_permissions"} <= set(options.split(","))
        assert os.listdir(mnt) == ["f"]
        (mnt / "f").write_text("there")
    assert read(client, "/t/home/f") == b"there"


@pytest.mark.root
def test_reading_only(server: Served, client: Client, mountpoint: Path) -> None:
    with mounted(
        "rumpfs mount", "-o", "ro,umask=027,uid=12", f"{server.url}:/t", mountpoint=mountpoint
    ) as mnt:
        assert failure(lambda: (mnt / "f").touch()) == errno.EROFS
        write(client, "/t/f", b"")
        facts = (mnt / "f").stat()
        assert (facts.st_mode & 0o777, facts.st_uid) == (0o750, 12)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("unix:///nowhere/sock",), 1, "no server can be reached there: No such file or directory"),
        (("tcp://127.0.0.1:9/",), 1, "no server can be reached there: Connection refused"),
        (("tcp://127.0.0.1/",), 1, "missing port"),
        (("-o", "partition=a", "unix:///nowhere/sock"), 2, "-o partition=a: not for a url"),
        (("-o", "size=1m", "unix:///nowhere/sock"), 2, "-o size=1m: not for a url"),
        (("-o", "offset=512", "unix:///nowhere/sock"), 2, "-o offset=512: not for a url"),
        (("-o", "overlay=f", "unix:///nowhere/sock"), 2, "-o overlay=f: not for a url"),
        (("-o", "update", "unix:///nowhere/sock"), 2, "-o update: there is no such option"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], status: int, text: str, mountpoint: Path) -> None:
    done = command("rumpfs", "mount", *words, str(mountpoint))
    assert done.returncode == status
    assert text in done.stderr
    assert not is_mounted(mountpoint)


def test_a_path_that_the_server_does_not_have(server: Served, mountpoint: Path) -> None:
    done = command("rumpfs", "mount", f"{server.url}:/none", str(mountpoint))
    assert (done.returncode, done.stderr) == (
        1,
        f"rumpfs mount: {server.url}:/none: No such file or directory\n",
    )


# --- others change the files ----------------------------------------------------------------------


def test_both_sides_see_what_the_other_writes(client: Client, mnt: Path) -> None:
    write(client, "/t/f", b"")
    for number in range(30):
        data = b"%d" % number * (number * 1000 + 1)
        write(client, "/t/f", data)
        assert (mnt / "f").read_bytes() == data
        (mnt / "f").write_bytes(data[::-1])
        assert read(client, "/t/f") == data[::-1]
        client.rename("/t/f", "/t/g")
        assert os.listdir(mnt) == ["g"]
        (mnt / "g").rename(mnt / "f")
        assert client.listdir("/t") == ["f"]


def test_pages_go_when_a_file_is_opened_even_where_attributes_are_kept(
    server: Served, client: Client, mountpoint: Path
) -> None:
    with mounted("rumpfs mount", f"{server.url}:/t", mountpoint=mountpoint) as mnt:
        write(client, "/t/f", b"a" * 5000)
        assert (mnt / "f").read_bytes() == b"a" * 5000
        write(client, "/t/f", b"b" * 5000)
        assert (mnt / "f").read_bytes() == b"b" * 5000


def test_a_name_that_becomes_another_file(client: Client, mnt: Path) -> None:
    write(client, "/t/old", b"old")
    with open(mnt / "old", "rb", buffering=0) as file:
        number = os.fstat(file.fileno()).st_ino
        write(client, "/t/new", b"newer")
        client.rename("/t/new", "/t/old")
        assert (mnt / "old").read_bytes() == b"newer"
        assert (mnt / "old").stat().st_ino != number
        assert file.read() == b"old"
        assert os.fstat(file.fileno()).st_ino == number


def test_a_directory_that_moves_stays_itself(client: Client, mnt: Path) -> None:
    mkdir(client, "/t/a")
    mkdir(client, "/t/b")
    here = os.open(mnt / "a", os.O_RDONLY)
    try:
        client.rename("/t/a", "/t/b/c")
        mkdir(client, "/t/a")
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        assert client.listdir("/t/b/c") == ["f"]
        assert client.listdir("/t/a") == []
        os.mkdir(mnt / "b" / "c" / "d")
        os.rename("f", mnt / "a" / "f", src_dir_fd=here)
        assert (client.listdir("/t/b/c"), client.listdir("/t/a")) == (["d"], ["f"])
    finally:
        os.close(here)


@pytest.mark.root
def test_what_is_found_no_more_is_not_taken_for_what_has_its_name(
    server: Served, client: Client, mountpoint: Path
) -> None:
    """The host goes by what it knows of names; the server's answer is compared with what was meant."""
    with mounted(
        "rumpfs mount", "-o", "attr_timeout=60,entry_timeout=60", f"{server.url}:/t", mountpoint=mountpoint
    ) as mnt:
        mkdir(client, "/t/d")
        write(client, "/t/d/f", b"one")
        os.chmod(mnt / "d" / "f", 0o600)
        client.rename("/t/d", "/t/gone")
        mkdir(client, "/t/d")
        write(client, "/t/d/f", b"two")
        # The directory that is known as d is open in the server still, so this is the first file.
        os.chmod(mnt / "d" / "f", 0o640)
        assert (client.stat("/t/gone/f").st_mode & 0o777, client.stat("/t/d/f").st_mode & 0o777) == (
            0o640,
            0o644,
        )
        client.rename("/t/gone/f", "/t/gone/g")
        write(client, "/t/gone/f", b"three")
        os.chmod(mnt / "d" / "f", 0o400)  # which is looked up anew
        modes = [client.stat(f"/t/{name}").st_mode & 0o777 for name in ("gone/g", "d/f", "gone/f")]
        assert modes[0] == 0o640
        assert sorted(modes[1:]) == [0o400, 0o644]


def test_what_is_mounted_in_the_server_comes_and_goes(client: Client, mnt: Path) -> None:
    mkdir(client, "/t/m")
    before = (mnt / "m").stat()
    client.mount("tmpfs", None, "/t/m")
    write(client, "/t/m/f", b"in it")
    assert (mnt / "m" / "f").read_bytes() == b"in it"
    assert (mnt / "m").stat().st_ino != before.st_ino
    soon(lambda: client.unmount("/t/m"))
    assert os.listdir(mnt / "m") == []
    assert (mnt / "m").stat().st_ino == before.st_ino


def test_what_is_unmounted_by_force_is_gone(client: Client, mnt: Path) -> None:
    mkdir(client, "/t/m")
    client.mount("tmpfs", None, "/t/m")
    with open(mnt / "m" / "f", "wb", buffering=0) as file:
        file.write(b"x")
        client.unmount("/t/m", MNT_FORCE)
        assert os.listdir(mnt / "m") == []
        assert failure(lambda: file.write(b"y")) is not None
    (mnt / "m" / "g").touch()
    assert client.listdir("/t/m") == ["g"]


def test_the_directory_that_is_mounted_is_unmounted_by_force(
    server: Served, client: Client, mountpoint: Path
) -> None:
    mkdir(client, "/t/m")
    client.mount("tmpfs", None, "/t/m")
    with mounted("rumpfs mount", *AT_ONCE, f"{server.url}:/t/m", mountpoint=mountpoint) as mnt:
        (mnt / "f").touch()
        client.unmount("/t/m", MNT_FORCE)
        soon(lambda: os.listdir(mnt))
        assert os.listdir(mnt) == []
        (mnt / "g").touch()
        assert client.listdir("/t/m") == ["g"]


# --- names and descriptors ------------------------------------------------------------------------


def test_a_file_without_a_name_lives_while_it_is_open(client: Client, mnt: Path) -> None:
    with open(mnt / "f", "w+b", buffering=0) as file:
        file.write(b"still here")
        (mnt / "f").unlink()
        assert client.listdir("/t") == []
        os.fchmod(file.fileno(), 0o640)
        os.ftruncate(file.fileno(), 5)
        facts = os.fstat(file.fileno())
        assert (facts.st_nlink, facts.st_size, facts.st_mode & 0o777) == (0, 5, 0o640)
        file.seek(0)
        assert file.read() == b"still"


def test_a_file_is_reached_by_each_of_its_names(client: Client, mnt: Path) -> None:
    (mnt / "d").mkdir()
    (mnt / "d" / "0").write_bytes(b"linked")
    for number in range(20):
        os.link(mnt / "d" / str(number), mnt / "d" / str(number + 1))
        (mnt / "d" / str(number)).unlink()
    assert (mnt / "d" / "20").read_bytes() == b"linked"
    os.link(mnt / "d" / "20", mnt / "second")
    client.unlink("/t/d/20")
    assert (mnt / "second").stat().st_nlink == 1
    assert (mnt / "second").read_bytes() == b"linked"


def test_more_files_are_open_than_a_process_has_descriptors_by_default(client: Client, mnt: Path) -> None:
    """In NetBSD 128 (OPEN_MAX)."""
    with ExitStack() as opened:
        files = [opened.enter_context(open(mnt / f"{number}", "w+b", buffering=0)) for number in range(160)]
        for number, file in enumerate(files):
            file.write(b"%d" % number)
        for number, file in enumerate(files):
            assert os.pread(file.fileno(), 10, 0) == b"%d" % number


def test_many_directories_are_used_by_turns(client: Client, mnt: Path) -> None:
    for number in range(110):
        (mnt / f"d{number}" / "sub").mkdir(parents=True)
    for turn in range(2):
        for number in range(110):
            (mnt / f"d{number}" / "sub" / f"{turn}").touch()
    assert all(client.listdir(f"/t/d{number}/sub") == ["0", "1"] for number in range(110))


def test_a_path_may_be_longer_than_the_server_takes(client: Client, mnt: Path) -> None:
    """A path of NetBSD's system calls has 1023 bytes at most."""
    depth = 120
    here = os.open(mnt, os.O_RDONLY)
    for number in range(depth):
        name = f"{number:020}"
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    # So many others are used that the server's descriptors of all these are let go.
    for number in range(100):
        (mnt / f"other{number}").mkdir()
        (mnt / f"other{number}" / "f").touch()
    assert os.listdir(here) == ["f"]
    os.rename("f", "g", src_dir_fd=here, dst_dir_fd=here)
    assert os.listdir(here) == ["g"]
    os.close(here)
    subprocess.run(["rm", "-r", mnt / f"{0:020}"], check=True)


def test_sockets_devices_and_fifos_are_made(client: Client, mnt: Path) -> None:
    program = f"import socket; socket.socket(socket.AF_UNIX).bind({str(mnt / 's')!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    os.mkfifo(mnt / "p", 0o640)
    assert client.stat("/t/s").st_mode & 0o170000 == 0o140000
    assert client.stat("/t/p").st_mode == 0o010640
    os.chmod(mnt / "p", 0o600)
    os.utime(mnt / "p", ns=(10**18 + 1, 10**18 + 2))
    facts = client.stat("/t/p")
    assert (facts.st_mode & 0o777, facts.st_atime_ns, facts.st_mtime_ns) == (0o600, 10**18 + 1, 10**18 + 2)


def test_appending_from_two_mounts_loses_nothing(server: Served, client: Client, tmp_path: Path) -> None:
    write(client, "/t/log", b"")
    first, second = tmp_path / "1", tmp_path / "2"
    with (
        mounted("rumpfs mount", f"{server.url}:/t", mountpoint=first),
        mounted("rumpfs mount", f"{server.url}:/t", mountpoint=second),
        open(first / "log", "ab", buffering=0) as one,
        open(second / "log", "ab", buffering=0) as two,
    ):
        for number in range(100):
            one.write(b"one %d\n" % number)
            two.write(b"two %d\n" % number)
    expected = b"".join(b"one %d\ntwo %d\n" % (number, number) for number in range(100))
    assert read(client, "/t/log") == expected


@pytest.mark.root
def test_what_a_user_makes_is_his(server: Served, client: Client, mountpoint: Path) -> None:
    program = f"""
import os
os.chdir({str(mountpoint)!r})
os.setgroups([])
os.setgid(1234)
os.setuid(1234)
os.umask(0)
os.mkdir("d", 0o2775)
open("d/f", "w").close()
os.symlink("f", "d/l")
os.mkfifo("d/p")
os.link("d/f", "d/h")
try:
    open("roots", "w")
except PermissionError:
    print("refused")
"""
    client.open("/t/roots", "wb").close()
    client.chown("/t", 0, 77)
    with mounted("rumpfs mount", "-o", "allow_other", f"{server.url}:/t", mountpoint=mountpoint):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")
    for name in ("d", "d/f", "d/l", "d/p", "d/h"):
        facts = client.lstat(f"/t/{name}")
        assert (facts.st_uid, facts.st_gid) == (1234, 77), name
    assert client.stat("/t/d").st_mode & 0o7777 == 0o775  # it is not of the group (chmod(2))
    assert client.stat("/t/d/f").st_mode & 0o7777 == 0o666


# --- requests that wait ---------------------------------------------------------------------------


def test_what_waits_for_the_server_keeps_nothing_else(
    server: Served, client: Client, tmp_path: Path, mountpoint: Path
) -> None:
    fsync = BY_NAME["fsync"].number
    with (
        gate(tmp_path / "gate", server.path, {fsync}) as relay,
        mounted("rumpfs mount", *AT_ONCE, f"{relay.url}:/t", mountpoint=mountpoint) as mnt,
        ExitStack() as opened,
    ):
        opened.callback(relay.open)
        threads = []
        for number in range(12):
            file = opened.enter_context(open(mnt / f"f{number}", "wb", buffering=0))
            threads.append(threading.Thread(target=os.fsync, args=(file.fileno(),), daemon=True))
            threads[-1].start()
        with relay.changed:
            assert relay.changed.wait_for(lambda: relay.kept == len(threads), TIMEOUT)
        for number in range(len(threads)):
            (mnt / f"g{number}").write_bytes(b"%d" % number * 5000)
            assert (mnt / f"g{number}").read_bytes() == b"%d" % number * 5000
        assert len(os.listdir(mnt)) == 2 * len(threads)
        assert all(thread.is_alive() for thread in threads)
        relay.open()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()


def test_a_mount_that_waits_for_ever_can_be_ended(
    server: Served, client: Client, tmp_path: Path, mountpoint: Path
) -> None:
    fsync = BY_NAME["fsync"].number
    failed: list[int | None] = []
    with gate(tmp_path / "gate", server.path, {fsync}) as relay:
        try:
            done = command("rumpfs", "mount", f"{relay.url}:/t", str(mountpoint))
            assert done.returncode == 0, done.stderr
            with open(mountpoint / "f", "wb", buffering=0) as file:
                thread = threading.Thread(
                    target=lambda: failed.append(failure(lambda: os.fsync(file.fileno())))
                )
                thread.start()
                with relay.changed:
                    assert relay.changed.wait_for(lambda: relay.kept == 1, TIMEOUT)
                done = command("rumpfs", "umount", "-f", str(mountpoint))
                assert (done.returncode, done.stderr) == (0, "")
                thread.join(TIMEOUT)
        finally:
            clear(mountpoint)
    assert failed in ([errno.EIO], [errno.ECONNABORTED], [errno.ENOTCONN])


def test_many_at_once(client: Client, mnt: Path) -> None:
    failed: list[object] = []

    def work(number: int) -> None:
        own = mnt / f"{number}"
        own.mkdir()
        for turn in range(10):
            data = b"%d %d" % (number, turn) * 2000
            (own / "a").write_bytes(data)
            (own / "a").rename(own / f"b{turn}")
            (own / f"b{turn}").chmod(0o600)
            os.link(own / f"b{turn}", mnt / f"{number}-{turn}")
            if (mnt / f"{number}-{turn}").read_bytes() != data or len(os.listdir(own)) != 1:
                failed.append((number, turn))
            (own / f"b{turn}").unlink()
            (mnt / f"{number}-{turn}").rename(mnt / "contested")
            if turn % 5 == 0:
                own.rename(mnt / f"moved{number}")
                (mnt / f"moved{number}").rename(own)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert failed == []
    assert sorted(client.listdir("/t")) == [*(str(number) for number in range(4)), "contested"]


# --- the server goes ------------------------------------------------------------------------------


def test_a_server_goes_and_comes_back(tmp_path: Path, mountpoint: Path) -> None:
    """What is open for reading goes on when it is the same file; what was written cannot be vouched for."""
    image = tmp_path / "disk.img"
    done = command("rumpfs", "newfs", "-s", "8m", str(image))
    assert done.returncode == 0, done.stderr
    drive = ("-d", f"key=/dev/dk,hostpath={image},size=host")

    def mount_disk(url: str) -> None:
        with Client(url, "test") as client:
            client.mount("ffs", "/dev/dk", "/")
            client.chown("/", os.geteuid(), -1)

    with ExitStack() as opened:
        opened.callback(clear, mountpoint)
        with serving(tmp_path, *drive) as first:
            mount_disk(first.url)
            done = command("rumpfs", "mount", *AT_ONCE, first.url, str(mountpoint))
            assert done.returncode == 0, done.stderr
            (mountpoint / "f").write_bytes(b"0123456789")
            (mountpoint / "d").mkdir()
            reader = opened.enter_context(open(mountpoint / "f", "rb", buffering=0))
            writer = opened.enter_context(open(mountpoint / "g", "wb", buffering=0))
            writer.write(b"x")
            gone = opened.enter_context(open(mountpoint / "h", "w+b", buffering=0))
            (mountpoint / "h").unlink()
            assert reader.read(4) == b"0123"
        for action in (
            lambda: os.stat(mountpoint / "f"),
            lambda: os.listdir(mountpoint),
            lambda: (mountpoint / "n").touch(),
            lambda: writer.write(b"y"),
            lambda: os.statvfs(mountpoint),
        ):
            assert failure(action) == errno.EIO
        with serving(tmp_path, *drive) as second:
            mount_disk(second.url)
            soon(lambda: os.stat(mountpoint))
            assert sorted(os.listdir(mountpoint)) == ["d", "f", "g"]
            assert (mountpoint / "f").read_bytes() == b"0123456789"
            assert os.pread(reader.fileno(), 6, 4) == b"456789"
            (mountpoint / "d" / "new").write_bytes(b"new")
            assert failure(lambda: writer.write(b"y")) == errno.EIO
            assert failure(lambda: os.pread(gone.fileno(), 1, 0)) is not None
            with open(mountpoint / "g", "ab", buffering=0) as again:
                again.write(b"z")
            assert (mountpoint / "g").read_bytes() == b"xz"
            for file in (reader, writer, gone):
                file.close()
        done = command("rumpfs", "umount", str(mountpoint))
        assert (done.returncode, done.stderr) == (0, "")
        assert not is_mounted(mountpoint)


def test_a_server_that_is_killed(tmp_path: Path, mountpoint: Path) -> None:
    try:
        with serving(tmp_path) as server:
            done = command("rumpfs", "mount", *AT_ONCE, f"{server.url}:/tmp", str(mountpoint))
            assert done.returncode == 0, done.stderr
            (mountpoint / "f").touch()
            server.process.send_signal(signal.SIGKILL)
            server.process.communicate()
            server.process.returncode = 0
            begun = time.monotonic()
            assert failure(lambda: os.stat(mountpoint / "f")) == errno.EIO
            assert time.monotonic() - begun < TIMEOUT / 3
        os.unlink(tmp_path / "sock")
        with serving(tmp_path):
            # Another kernel: what was known of the former one's files is not true of this one's.
            soon(lambda: os.stat(mountpoint))
            assert os.listdir(mountpoint) == []
            (mountpoint / "f").write_bytes(b"new")
            assert (mountpoint / "f").read_bytes() == b"new"
            done = command("rumpfs", "umount", str(mountpoint))
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        clear(mountpoint)
