"""Files elsewhere: fetched once, kept for as long as they say to be the same, and never mixed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.remote import LINE, RemoteFile, open_url
from tests.webserver import Web, serving

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

SIZE = 3 * LINE + 1000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUMPFS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    data = random.Random(1).randbytes(SIZE)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "disk.img").write_bytes(data)
    return data


@pytest.fixture
def web(tmp_path: Path, content: bytes) -> Iterator[Web]:
    with serving(tmp_path / "web") as found:
        yield found


def _read(file: HostFile, nbytes: int, offset: int) -> bytes:
    data = b""
    while piece := file.pread(nbytes - len(data), offset + len(data)):
        data += piece
    return data


def _why(file: HostFile, offset: int = 0) -> VfsError:
    with pytest.raises(VfsError) as raised:
        file.pread(1, offset)
    return raised.value


@pytest.mark.parametrize(
    ("nbytes", "offset"),
    [(1, 0), (SIZE, 0), (10, LINE - 5), (2 * LINE, LINE + 1), (10, SIZE - 3), (10, SIZE), (10, SIZE + 1)],
)
def test_bytes_are_those_of_the_file(web: Web, content: bytes, nbytes: int, offset: int) -> None:
    file = open_url(f"{web.url}/disk.img")
    assert file.size == SIZE
    assert _read(file, nbytes, offset) == content[offset : offset + nbytes]
    buffers = [bytearray(3), bytearray(4)]
    count = file.preadv([*buffers], offset)
    assert b"".join(buffers)[:count] == content[offset : offset + count]
    file.close()


def test_a_line_is_fetched_once_and_kept(web: Web, content: bytes) -> None:
    for _ in range(2):
        file = open_url(f"{web.url}/disk.img")
        assert file.pread(10, 5) == content[5:15]
        assert file.pread(10, 500) == content[500:510]
        file.close()
    assert [asked for method, _, asked in web.requests if method == "GET"] == [f"bytes=0-{LINE - 1}"]


def test_who_reads_on_gets_more_at_a_time(web: Web, content: bytes) -> None:
    file = open_url(f"{web.url}/disk.img")
    for offset in range(0, SIZE, 1000):
        assert _read(file, 1000, offset) == content[offset : offset + 1000]
    file.close()
    assert web.fetched == 2


def test_a_change_is_an_error_and_nothing_is_mixed(web: Web, content: bytes) -> None:
    url = f"{web.url}/disk.img"
    file = open_url(url)
    assert file.pread(10, 0) == content[:10]
    changed = bytes(SIZE)
    (web.directory / "disk.img").write_bytes(changed)
    error = _why(file, LINE)
    assert error.errno == errno.EIO
    assert "has changed" in error.why
    assert file.pread(10, 0) == content[:10]
    file.close()
    again = open_url(url)
    assert _read(again, SIZE, 0) == changed
    again.close()


def test_what_is_kept_is_checked(web: Web, content: bytes, cache: Path) -> None:
    file = open_url(f"{web.url}/disk.img")
    assert _read(file, SIZE, 0) == content
    file.close()
    [kept] = cache.iterdir()
    with kept.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"rotten")
    file = open_url(f"{web.url}/disk.img")
    assert file.pread(20, 95) == content[95:115]
    file.close()


def test_without_an_etag_nothing_is_kept(web: Web, content: bytes, cache: Path) -> None:
    web.etags = False
    file = open_url(f"{web.url}/disk.img")
    assert file.pread(10, LINE) == content[LINE : LINE + 10]
    assert list(cache.iterdir()) == []
    file.close()


def test_a_server_without_ranges_is_told_so(web: Web, content: bytes) -> None:
    web.ranges = False
    file = open_url(f"{web.url}/disk.img")
    assert "byte ranges" in _why(file).why
    file.close()


def test_an_error_of_the_server_is_eio(web: Web, content: bytes) -> None:
    file = open_url(f"{web.url}/disk.img")
    web.broken.add("/disk.img")
    error = _why(file)
    assert error.errno == errno.EIO
    assert f"{web.url}/disk.img at byte 0" in error.why
    file.close()


@pytest.mark.parametrize(
    ("url", "number", "word"),
    [
        ("{}/missing.img", errno.ENOENT, "missing.img"),
        ("nosuch://host/disk.img", errno.EINVAL, "unix://socket or tcp://address:port"),
        ("http://127.0.0.1:1/disk.img", errno.ENOENT, "127.0.0.1"),
    ],
)
def test_what_cannot_be_opened(web: Web, url: str, number: int, word: str) -> None:
    with pytest.raises(VfsError) as raised:
        open_url(url.format(web.url))
    assert raised.value.errno == number
    assert word in raised.value.why


def test_a_host_path_is_a_host_file(tmp_path: Path, content: bytes) -> None:
    file = open_url(f"file://{tmp_path}/web/disk.img")
    assert type(file) is HostFile
    file.close()


def test_it_cannot_be_written(tmp_path: Path) -> None:
    file = RemoteFile("x", 10, lambda start, end: bytes(end - start), lambda: None)
    with pytest.raises(VfsError) as raised:
        file.pwrite(b"x", 0)
    assert raised.value.errno == errno.EROFS
    file.close()
