from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 16)
    return path


def refused(path, **options):
    with pytest.raises(VfsError) as caught:
        HostFile.open(str(path), **options)
    return caught.value


def lock_of_another_process(path, how):
    """Return what another process is told that wants a lock: 0, or 1 when it is taken."""
    code = (
        "import fcntl, sys\n"
        "try: fcntl.flock(open(sys.argv[1], 'rb'), getattr(fcntl, sys.argv[2]) | fcntl.LOCK_NB)\n"
        "except BlockingIOError: sys.exit(1)\n"
    )
    return subprocess.run([sys.executable, "-c", code, str(path), how], check=False).returncode


def test_reading_writing_and_size(image):
    hostfile = HostFile.open(str(image))
    assert (hostfile.size, hostfile.is_regular, hostfile.readonly) == (4096, True, False)
    assert hostfile.pread(4, 254) == b"\xfe\xff\x00\x01"
    assert hostfile.pread(100, 4090) == bytes(range(250, 256))
    assert hostfile.pwrite(b"xyz", 4095) == 3
    assert hostfile.size == 4098
    buffers = [bytearray(1), bytearray(8)]
    assert hostfile.preadv(buffers, 4095) == 3
    assert bytes(buffers[1][:2]) == b"yz"
    hostfile.fsync()
    hostfile.close()


def test_one_open_file_however_often_and_by_whatever_name(image, tmp_path):
    os.link(image, tmp_path / "other-name")
    first = HostFile.open(str(image))
    second = HostFile.open(str(tmp_path / "other-name"), readonly=True)
    assert second is first
    first.close()
    assert second.pread(1, 1) == b"\x01"
    second.close()
    with pytest.raises(OSError):
        os.fstat(first.fd)


def test_a_file_open_for_reading_becomes_writable_under_the_same_descriptor(image):
    reader = HostFile.open(str(image), readonly=True)
    assert reader.readonly
    assert lock_of_another_process(image, "LOCK_SH") == 0
    fd = reader.fd
    writer = HostFile.open(str(image))
    assert writer is reader
    assert (writer.fd, writer.readonly) == (fd, False)
    assert lock_of_another_process(image, "LOCK_SH") == 1
    writer.pwrite(b"!", 0)
    writer.close()
    reader.close()
    assert lock_of_another_process(image, "LOCK_EX") == 0


def test_an_upgrade_that_is_refused_leaves_the_reader_as_it_was(image):
    reader = HostFile.open(str(image), readonly=True)
    with image.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert refused(image).errno == errno.EBUSY
        assert reader.readonly
        assert reader.pread(1, 0) == b"\0"
    assert lock_of_another_process(image, "LOCK_EX") == 1
    reader.close()


@pytest.mark.parametrize(
    ("held", "readonly", "free"),
    [
        (fcntl.LOCK_EX, False, False),
        (fcntl.LOCK_EX, True, False),
        (fcntl.LOCK_SH, False, False),
        (fcntl.LOCK_SH, True, True),
    ],
)
def test_locks_of_others(image, held, readonly, free):
    with image.open("rb") as other:
        fcntl.flock(other, held)
        if free:
            HostFile.open(str(image), readonly=readonly).close()
        else:
            error = refused(image, readonly=readonly)
            assert error.errno == errno.EBUSY
            assert f"{image} is locked by another process" in error.why
    HostFile.open(str(image), readonly=readonly).close()


def test_a_missing_file_is_made_on_request_only(tmp_path):
    path = tmp_path / "new"
    assert refused(path).errno == errno.ENOENT
    assert refused(path, create=True, readonly=True).errno == errno.ENOENT
    umask = os.umask(0o027)
    try:
        HostFile.open(str(path), create=True).close()
    finally:
        os.umask(umask)
    assert (path.stat().st_mode & 0o7777, path.stat().st_size) == (0o640, 0)


def test_what_is_neither_file_nor_device_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for readonly in (False, True):
        assert refused(tmp_path / "fifo", readonly=readonly).errno == errno.EINVAL
    assert refused(tmp_path, readonly=True).errno == errno.EINVAL
    assert refused(tmp_path).errno == errno.EISDIR


def test_a_file_without_write_permission(tmp_path, monkeypatch):
    directory = tmp_path / "for-all"
    directory.mkdir()
    directory.chmod(0o755)
    monkeypatch.chdir(directory)
    (directory / "readonly").write_bytes(b"x")
    (directory / "readonly").chmod(0o444)
    euid = os.geteuid()
    os.seteuid(65534 if euid == 0 else euid)  # permissions do not bind root
    try:
        hostfile = HostFile.open("readonly", readonly=True)
        assert hostfile.pread(1, 0) == b"x"
        assert refused("readonly").errno == errno.EACCES
        hostfile.close()
    finally:
        os.seteuid(euid)


def test_extending_leaves_a_hole_and_never_shrinks(image):
    hostfile = HostFile.open(str(image))
    hostfile.extend(1 << 30)
    assert hostfile.size == 1 << 30
    assert image.stat().st_blocks * 512 < 1 << 20
    hostfile.extend(100)
    assert hostfile.size == 1 << 30
    with pytest.raises(VfsError) as caught:
        hostfile.extend(1 << 80)
    assert caught.value.errno == errno.EFBIG
    hostfile.close()


def test_a_character_device_has_no_size():
    hostfile = HostFile.open("/dev/zero", readonly=True)
    assert (hostfile.size, hostfile.is_regular) == (0, False)
    assert hostfile.pread(3, 0) == b"\0\0\0"
    hostfile.close()


def test_host_errors_become_netbsd_numbers(image):
    hostfile = HostFile.open(str(image), readonly=True)
    for call in (lambda: hostfile.pwrite(b"x", 0), lambda: hostfile.pread(1, -1)):
        with pytest.raises(VfsError) as caught:
            call()
        assert caught.value.errno in (errno.EBADF, errno.EINVAL)
        assert str(image) in caught.value.why
    hostfile.close()
