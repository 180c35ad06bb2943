"""What POSIX programs do with files, on a mounted volume."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import stat
from pathlib import Path

import pytest

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2


def renameat2(old: Path, new: Path, flags: int) -> int:
    """Rename with flags; return the errno."""
    failed = libc.renameat2(AT_FDCWD, bytes(old), AT_FDCWD, bytes(new), flags)
    return ctypes.get_errno() if failed else 0


def test_a_file_is_written_and_read(volume: Path) -> None:
    data = os.urandom(3_000_001)
    (volume / "f").write_bytes(data)
    assert (volume / "f").read_bytes() == data
    assert (volume / "f").stat().st_size == len(data)


def test_attributes_are_set_and_kept(volume: Path) -> None:
    file = volume / "f"
    file.touch()
    file.chmod(0o4751)
    os.utime(file, ns=(1_234_567_890_123_456_789, 987_654_321_012_345_678))
    facts = file.stat()
    assert stat.S_IMODE(facts.st_mode) == 0o4751
    assert (facts.st_atime_ns, facts.st_mtime_ns) == (1_234_567_890_123_456_789, 987_654_321_012_345_678)
    assert (facts.st_uid, facts.st_gid) == (os.geteuid(), facts.st_gid)


def test_times_before_1970_are_kept(volume: Path) -> None:
    file = volume / "f"
    file.touch()
    os.utime(file, ns=(-1_500_000_000, -1))
    assert (file.stat().st_atime_ns, file.stat().st_mtime_ns) == (-1_500_000_000, -1)


@pytest.mark.root
def test_owners_are_set(volume: Path) -> None:
    file = volume / "f"
    file.touch()
    os.chown(file, 12, 34)
    assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)


def test_hard_links_are_one_file(volume: Path) -> None:
    (volume / "a").write_text("one")
    os.link(volume / "a", volume / "b")
    a, b = (volume / "a").stat(), (volume / "b").stat()
    assert (a.st_ino, a.st_nlink) == (b.st_ino, b.st_nlink) == (a.st_ino, 2)
    (volume / "a").unlink()
    assert (volume / "b").stat().st_nlink == 1
    assert (volume / "b").read_text() == "one"


def test_links_say_what_they_were_given(volume: Path) -> None:
    for text in ("x", "../some/where", "y" * 1023):
        os.symlink(text, volume / "link")
        assert os.readlink(volume / "link") == text
        assert (volume / "link").lstat().st_size == len(text)
        (volume / "link").unlink()


def test_a_directory_counts_its_subdirectories(volume: Path) -> None:
    assert volume.stat().st_nlink == 2
    (volume / "d").mkdir()
    assert volume.stat().st_nlink == 3
    with pytest.raises(OSError) as caught:
        volume.rmdir()
    assert caught.value.errno == errno.ENOTEMPTY
    (volume / "d").rmdir()
    assert volume.stat().st_nlink == 2


def test_rename_replaces(volume: Path) -> None:
    (volume / "a").write_text("new")
    (volume / "b").write_text("old")
    with open(volume / "b") as old:
        os.rename(volume / "a", volume / "b")
        assert old.read() == "old"
    assert (volume / "b").read_text() == "new"
    assert os.listdir(volume) == ["b"]


def test_rename_without_replacing(volume: Path) -> None:
    (volume / "a").write_text("a")
    (volume / "b").write_text("b")
    assert renameat2(volume / "a", volume / "b", RENAME_NOREPLACE) == errno.EEXIST
    assert renameat2(volume / "a", volume / "c", RENAME_NOREPLACE) == 0
    assert sorted(os.listdir(volume)) == ["b", "c"]


def test_an_exchange_is_refused(volume: Path) -> None:
    (volume / "a").write_text("a")
    (volume / "b").write_text("b")
    assert renameat2(volume / "a", volume / "b", RENAME_EXCHANGE) == errno.EINVAL
    assert (volume / "a").read_text() == "a"


def test_an_open_file_outlives_its_name(volume: Path) -> None:
    with open(volume / "f", "w+b") as file:
        file.write(b"still here")
        file.flush()
        (volume / "f").unlink()
        assert os.listdir(volume) == []
        assert os.fstat(file.fileno()).st_nlink == 0
        file.seek(0)
        assert file.read() == b"still here"


def test_lengths_are_set(volume: Path) -> None:
    file = volume / "f"
    file.write_bytes(b"0123456789")
    os.truncate(file, 4)
    assert file.read_bytes() == b"0123"
    os.truncate(file, 8)
    assert file.read_bytes() == b"0123\0\0\0\0"
    with open(file, "r+b") as stream:
        os.ftruncate(stream.fileno(), 1)
    assert file.stat().st_size == 1
    open(file, "w").close()
    assert file.stat().st_size == 0


def test_appending_goes_to_the_end(volume: Path) -> None:
    first = os.open(volume / "f", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    second = os.open(volume / "f", os.O_WRONLY | os.O_APPEND)
    for number in range(4):
        os.write((first, second)[number % 2], b"%d" % number)
    os.pwrite(first, b"x", 0)  # Linux appends this, too (pwrite(2), BUGS)
    os.close(first)
    os.close(second)
    assert (volume / "f").read_bytes() == b"0123x"


def test_a_mapping_of_a_file_that_is_appended_to_has_its_place(volume: Path) -> None:
    (volume / "f").write_bytes(b"a" * 10_000)
    fd = os.open(volume / "f", os.O_RDWR | os.O_APPEND)
    with mmap.mmap(fd, 10_000) as mapped:
        mapped[5000:5003] = b"XYZ"
        mapped.flush()
    os.close(fd)
    assert (volume / "f").read_bytes() == b"a" * 5000 + b"XYZ" + b"a" * 4997


def test_a_shared_mapping_is_read_and_written(volume: Path) -> None:
    (volume / "f").write_bytes(b"." * 20_000)
    with open(volume / "f", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert mapped[19_999:] == b"."
        mapped[4095:4098] = b"abc"
        mapped.flush()
        assert os.pread(file.fileno(), 5, 4094) == b".abc."
    assert (volume / "f").read_bytes()[4094:4099] == b".abc."


def test_fifos_sockets_and_their_use(volume: Path) -> None:
    os.mkfifo(volume / "fifo", 0o640)
    assert (volume / "fifo").is_fifo()
    reader = os.open(volume / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(volume / "fifo", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)
    where = os.path.relpath(volume / "s")
    where = min(where, str(volume / "s"), key=len)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        directory = os.open(volume, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/s")
        listener.listen()
        client.connect(f"/proc/self/fd/{directory}/s")
        os.close(directory)
    assert (volume / "s").is_socket()


@pytest.mark.root
@pytest.mark.parametrize(("major", "minor"), [(1, 3), (8, 300), (259, 70_000)])
def test_device_numbers_are_kept(volume: Path, major: int, minor: int) -> None:
    os.mknod(volume / "dev", stat.S_IFCHR | 0o600, os.makedev(major, minor))
    rdev = (volume / "dev").stat().st_rdev
    assert (os.major(rdev), os.minor(rdev)) == (major, minor)


def long_name(number: int) -> str:
    """Return one of the names of which a few hundred are more than a directory is read at a time."""
    return f"{'n' * (number % 200)}{number}".rjust(180, "-")


def test_a_long_directory_is_listed_once_each(volume: Path) -> None:
    names = {long_name(number) for number in range(800)}
    for name in names:
        (volume / name).touch()
    listed = os.listdir(volume)
    assert len(listed) == len(names)
    assert set(listed) == names
    with os.scandir(volume) as entries:
        assert {entry.name: entry.inode() for entry in entries} == {
            name: (volume / name).stat().st_ino for name in names
        }


def test_names_may_go_while_a_directory_is_read(volume: Path) -> None:
    for number in range(800):
        (volume / long_name(number)).touch()
    with os.scandir(volume) as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir(volume) == []


def test_a_directory_can_be_read_from_where_one_was(volume: Path) -> None:
    for number in range(800):
        (volume / long_name(number)).touch()
    opendir, readdir = libc.opendir, libc.readdir
    opendir.restype = readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    directory = ctypes.c_void_p(opendir(bytes(volume)))

    def names(count: int) -> list[bytes]:
        return [ctypes.string_at(entry + 19) for _ in range(count) if (entry := readdir(directory))]

    names(10)
    place = ctypes.c_long(libc.telldir(directory))
    ahead = names(790)
    libc.seekdir(directory, place)
    assert names(790) == ahead
    libc.rewinddir(directory)
    assert len(names(1000)) == 802
    libc.closedir(directory)


def test_bytes_that_are_no_text_are_names(volume: Path) -> None:
    name = bytes(set(range(1, 256)) - {0x2F})
    with open(bytes(volume) + b"/" + name, "wb"):
        pass
    assert os.listdir(bytes(volume)) == [name]


def test_names_that_are_too_long(volume: Path) -> None:
    (volume / ("n" * 255)).touch()
    for operation in (Path.touch, Path.stat, Path.mkdir):
        with pytest.raises(OSError) as caught:
            operation(volume / ("n" * 256))
        assert caught.value.errno == errno.ENAMETOOLONG


def test_space_is_reported_and_syncing_succeeds(tmpfs: Path) -> None:
    before = os.statvfs(tmpfs)
    (tmpfs / "f").write_bytes(bytes(1 << 20))
    after = os.statvfs(tmpfs)
    assert after.f_namemax == 255
    used = [facts.f_blocks - facts.f_bfree for facts in (before, after)]  # a tmpfs without a limit grows
    assert used[1] - used[0] == (1 << 20) // after.f_frsize
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECTORY):
        fd = os.open(tmpfs if flags & os.O_DIRECTORY else tmpfs / "f", flags)
        os.fsync(fd)
        os.close(fd)


def test_a_tmpfs_has_no_extended_attributes_and_no_acls(tmpfs: Path) -> None:
    (tmpfs / "f").touch()
    for name in ("user.x", "system.posix_acl_access"):
        with pytest.raises(OSError) as caught:
            os.setxattr(tmpfs / "f", name, b"value")
        assert caught.value.errno == errno.ENOTSUP
