"""One kernel behind a socket and a mount: what one side changes, the other sees at once."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.fuse.mounts import clear, command, is_mounted
from tests.serving import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The url of a server, and where it is mounted."""
    directory = tmp_path_factory.mktemp("server")
    mountpoint = directory / "mnt"
    mountpoint.mkdir()
    try:
        with serving(directory, "--fuse", str(mountpoint)) as running:
            yield running.url, mountpoint
        assert not is_mounted(mountpoint)
    finally:
        clear(mountpoint)


@pytest.fixture
def both(server: tuple[str, Path]) -> Iterator[tuple[Client, Path]]:
    """A client, and the mount of the same kernel, in which a new tmpfs is mounted on /t."""
    url, mountpoint = server
    with Client(url, "test") as client:
        client.mkdir("/t")
        client.mount("tmpfs", None, "/t")
        yield client, mountpoint / "t"
        settled(mountpoint)
        for place in [vfs.f_mntonname for vfs in client.getvfsstat()][:0:-1]:
            client.unmount(place)
        client.rmdir("/t")


def settled(mnt: Path) -> None:
    """Return when the server knows what was closed: close(2) does not wait for that, but a request does."""
    os.statvfs(mnt)


def write(client: Client, path: str, data: bytes, mode: str = "wb") -> None:
    with client.open(path, mode) as file:
        file.write(data)


def test_what_is_written_on_one_side_is_read_on_the_other(both: tuple[Client, Path]) -> None:
    client, mnt = both
    write(client, "/t/f", b"")
    client.chown("/t/f", os.geteuid(), -1)
    for number in range(50):
        data = b"%d" % number * (number * 1000 + 1)
        write(client, "/t/f", data)
        assert (mnt / "f").read_bytes() == data
        assert (mnt / "f").stat().st_size == len(data)
        (mnt / "f").write_bytes(data[::-1])
        with client.open("/t/f") as file:
            assert file.read() == data[::-1]


def test_pages_and_lengths_are_not_kept(both: tuple[Client, Path]) -> None:
    client, mnt = both
    write(client, "/t/f", b"a" * 10_000)
    with open(mnt / "f", "rb", buffering=0) as file:
        assert file.read() == b"a" * 10_000
        write(client, "/t/f", b"b" * 10_000, "r+b")
        file.seek(0)
        assert file.read() == b"b" * 10_000
        client.truncate("/t/f", 5)
        assert os.fstat(file.fileno()).st_size == 5
        file.seek(0)
        assert file.read() == b"b" * 5


def test_attributes_are_not_kept(both: tuple[Client, Path]) -> None:
    client, mnt = both
    (mnt / "f").touch()
    for mode in (0o600, 0o755, 0o4711):
        client.chmod("/t/f", mode)
        assert (mnt / "f").stat().st_mode & 0o7777 == mode
        (mnt / "f").chmod(mode ^ 0o11)
        assert client.stat("/t/f").st_mode & 0o7777 == mode ^ 0o11


def test_names_come_and_go(both: tuple[Client, Path]) -> None:
    client, mnt = both
    for number in range(30):
        write(client, f"/t/a{number}", b"x")
        assert (mnt / f"a{number}").exists()
        client.rename(f"/t/a{number}", f"/t/b{number}")
        assert not (mnt / f"a{number}").exists()
        assert (mnt / f"b{number}").exists()
        client.unlink(f"/t/b{number}")
        assert not (mnt / f"b{number}").exists()
        assert os.listdir(mnt) == []
        (mnt / "c").mkdir()
        assert client.listdir("/t") == ["c"]
        client.rmdir("/t/c")
        assert not (mnt / "c").exists()


MAKERS: dict[str, Callable[[Client, str], object]] = {
    "open": lambda client, path: write(client, path, b"x"),
    "mkdir": lambda client, path: client.mkdir(path),
    "mkfifo": lambda client, path: client.mknod(path, stat.S_IFIFO | 0o644),
    "symlink": lambda client, path: client.symlink("text", path),
    "link": lambda client, path: client.link("/t/file", path),
    "rename": lambda client, path: client.rename("/t/file", path),
}


@pytest.mark.parametrize("how", MAKERS)
def test_a_name_that_was_not_there_comes(both: tuple[Client, Path], how: str) -> None:
    client, mnt = both
    write(client, "/t/file", b"x")
    client.mkdir("/t/d")
    for name in ("new", "d/new"):
        for _ in range(2):
            assert not os.path.lexists(mnt / name)
        MAKERS[how](client, f"/t/{name}")
        assert os.path.lexists(mnt / name)
        if how == "rename":
            assert not os.path.lexists(mnt / "file")
            client.rename(f"/t/{name}", "/t/file")


def test_a_layer_shows_what_is_below_it_now(both: tuple[Client, Path]) -> None:
    """One file through two mounts of the kernel, mount_null(8): the host does not know that it is one."""
    client, mnt = both
    (mnt / "below").mkdir()
    (mnt / "above").mkdir()
    client.mount("null", "/t/below", "/t/above")
    below, above = mnt / "below", mnt / "above"
    for here, there, url in ((below, above, "/t/above"), (above, below, "/t/below")):
        assert not (there / "f").exists()
        (here / "f").write_bytes(b"a" * 5000)
        assert (there / "f").read_bytes() == b"a" * 5000
        (here / "f").write_bytes(b"b" * 6000)
        assert (there / "f").read_bytes() == b"b" * 6000
        write(client, f"{url}/f", b"c" * 7000)
        assert (here / "f").read_bytes() == (there / "f").read_bytes() == b"c" * 7000
        (here / "f").unlink()
        assert not (there / "f").exists()
    settled(mnt)


def test_a_name_that_becomes_another_file(both: tuple[Client, Path]) -> None:
    client, mnt = both
    write(client, "/t/old", b"old")
    assert (mnt / "old").read_bytes() == b"old"
    number = (mnt / "old").stat().st_ino
    write(client, "/t/new", b"newer")
    client.rename("/t/new", "/t/old")
    assert (mnt / "old").read_bytes() == b"newer"
    assert (mnt / "old").stat().st_ino != number


def test_link_counts_follow(both: tuple[Client, Path]) -> None:
    client, mnt = both
    write(client, "/t/a", b"x")
    assert (mnt / "a").stat().st_nlink == 1
    client.link("/t/a", "/t/b")
    assert (mnt / "a").stat().st_nlink == 2
    client.unlink("/t/b")
    assert (mnt / "a").stat().st_nlink == 1


def test_mounts_in_the_kernel_appear_and_disappear(both: tuple[Client, Path]) -> None:
    client, mnt = both
    (mnt / "d").mkdir()
    (mnt / "d" / "below").touch()
    client.mount("tmpfs", None, "/t/d")
    assert os.listdir(mnt / "d") == []
    (mnt / "d" / "inside").touch()
    assert client.listdir("/t/d") == ["inside"]
    assert os.listdir(mnt / "d") == ["inside"]
    settled(mnt)
    client.unmount("/t/d")  # what the host only knows does not keep it
    assert os.listdir(mnt / "d") == ["below"]


def test_files_of_different_mounts_have_different_numbers(both: tuple[Client, Path]) -> None:
    client, mnt = both
    (mnt / "d").mkdir()
    client.mount("tmpfs", None, "/t/d")
    for number in range(10):
        (mnt / f"{number}").touch()
        (mnt / "d" / f"{number}").touch()
    files = [*mnt.iterdir(), *(mnt / "d").iterdir()]
    assert len({path.stat().st_ino for path in files}) == len(files) == 21


def test_an_open_file_keeps_its_mount(both: tuple[Client, Path]) -> None:
    client, mnt = both
    with open(mnt / "f", "w"), pytest.raises(OSError, match="busy"):
        client.unmount("/t")
    settled(mnt)
    client.unmount("/t")
    assert list(mnt.iterdir()) == []


def test_both_sides_at_once(both: tuple[Client, Path]) -> None:
    """Each side appends to files of its own and reads the other's while that grows.

    What fstat(2) says may be ahead of what is read: the host drops an answer if it is told of a change before
    that comes (fs/fuse/inode.c: fuse_change_attributes), and reads no further than it knows the file.
    """
    client, mnt = both
    rounds = 150
    write(client, "/t/socket", b"")
    (mnt / "mount").write_bytes(b"")
    seen: list[str] = []

    def through_the_mount() -> None:
        try:
            with (
                open(mnt / "mount", "ab", buffering=0) as own,
                open(mnt / "socket", "rb", buffering=0) as other,
            ):
                last = read = 0
                for _ in range(rounds):
                    own.write(b"m" * 1000)
                    size = os.fstat(other.fileno()).st_size
                    assert size >= last
                    data = os.pread(other.fileno(), size, 0)
                    assert len(data) >= read
                    assert data == b"s" * len(data)
                    last, read = size, len(data)
                seen.append("mount")
        except AssertionError as error:
            seen.append(str(error))

    thread = threading.Thread(target=through_the_mount)
    thread.start()
    with client.open("/t/socket", "ab") as own, client.open("/t/mount") as other:
        last = 0
        for _ in range(rounds):
            own.write(b"s" * 1000)
            other.seek(0)
            data = other.read()
            assert len(data) >= last
            assert data == b"m" * len(data)
            last = len(data)
    thread.join(30)
    assert seen == ["mount"]
    assert (mnt / "socket").read_bytes() == b"s" * rounds * 1000
    assert client.stat("/t/mount").st_size == rounds * 1000


def test_the_server_goes_on_without_its_mount(tmp_path: Path, mountpoint: Path) -> None:
    with serving(tmp_path, "--fuse", f"{mountpoint}:/dev") as server, Client(server.url, "test") as client:
        assert sorted(os.listdir(mountpoint)) == sorted(client.listdir("/dev"))
        done = command("rumpfs", "umount", str(mountpoint))
        assert (done.returncode, done.stderr) == (0, "")
        client.mkdir("/dev/after")
        assert os.listdir(mountpoint) == []


@pytest.mark.parametrize(
    ("where", "text"),
    [("/nowhere", "/nowhere: No such file"), ("{}:/nowhere", "/nowhere in the kernel: No such file")],
)
def test_a_server_that_cannot_mount_does_not_start(
    tmp_path: Path, mountpoint: Path, where: str, text: str
) -> None:
    url = f"unix://{tmp_path}/sock"
    done = command("rump_allserver", "--fuse", where.format(mountpoint), url)
    assert done.returncode != 0
    assert text in done.stderr
    assert not (tmp_path / "sock").exists()
