"""Images in the places that fsspec knows: the memory of this process, a web server, an S3 server.

The S3 server is moto's, in this process; fsspec reads it through s3fs.
"""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rumpfs
from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.remote import open_url
from tests.cli.inside import Inside
from tests.images_util import makefs, pattern
from tests.webserver import serving

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed (the extra remote)")

CONTENT = pattern("large", 300_000)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "dir").mkdir(parents=True)
    (tmp_path / "tree" / "dir" / "large").write_bytes(CONTENT)
    (tmp_path / "tree" / "link").symlink_to("dir/large")
    return makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024, "-s", "4m")


@pytest.fixture(params=["memory", "http", "s3"])
def url(
    request: pytest.FixtureRequest, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The url of a directory in which the image is, as dir/disk.img."""
    monkeypatch.setenv("RUMPFS_CACHE", str(tmp_path / "cache"))
    yield from {"memory": _memory, "http": _http, "s3": _s3}[request.param](image, monkeypatch)


def _memory(image: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    memory.pipe("/images/dir/disk.img", image.read_bytes())
    yield "memory://images"
    memory.rm("/images", recursive=True)


def _http(image: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (the extra remote)")
    (image.parent / "web" / "dir").mkdir(parents=True)
    (image.parent / "web" / "dir" / "disk.img").hardlink_to(image)
    with serving(image.parent / "web") as web:
        yield web.url


def _s3(image: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for package in ("s3fs", "moto", "flask"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install s3fs 'moto[server]'")
    server: Any = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    s3.makedirs("bucket", exist_ok=True)
    s3.pipe("bucket/dir/disk.img", image.read_bytes())
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield "s3://bucket"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


def test_verbs_read_an_image_there(url: str, tmp_path: Path) -> None:
    shell = Inside(tmp_path)
    shell.environ["RUMPFS_CACHE"] = str(tmp_path / "cache")
    address = f"{url}/dir/disk.img"
    assert shell.ok("ls", f"{address}:/").lines == ["dir", "link"]
    assert shell.ok("cat", f"{address}:/dir/large").out == CONTENT
    (found,) = json.loads(shell.ok("info", "--json", address).out)["images"]
    assert (found["image"], found["filesystem"]["format"]) == (address, "FFSv2")
    with tarfile.open(fileobj=io.BytesIO(shell.ok("tar", f"{address}:/").out)) as archive:
        member = archive.extractfile("./dir/large")
        assert member is not None
        assert member.read() == CONTENT
        assert archive.getmember("./link").linkname == "dir/large"
    assert "can only be read" in shell.fails("rm", f"{address}:/link")


def test_programs_read_an_image_there(url: str) -> None:
    with rumpfs.open_image(f"{url}/dir/disk.img") as image:
        assert (image / "dir" / "large").read_bytes() == CONTENT
    with fsspec.open(f"ffs://dir/large::{url}/dir/disk.img") as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize(("path", "number"), [("dir", errno.EISDIR), ("dir/none.img", errno.ENOENT)])
def test_what_is_no_file_there(url: str, path: str, number: int) -> None:
    number = errno.ENOENT if url.startswith("http") else number  # the web has no directories
    with pytest.raises(VfsError) as raised:
        open_url(f"{url}/{path}")
    assert raised.value.errno == number
    assert raised.value.why.startswith(f"{url}/{path}: ")


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/disk.img", "s3fs"),
        ("gs://bucket/disk.img", "gcsfs"),
        ("ffs://etc/rc.conf::s3://bucket/disk.img", "s3fs"),
    ],
)
def test_the_package_that_a_url_needs_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(VfsError) as raised:
        open_url(url)
    assert raised.value.errno == errno.EOPNOTSUPP
    assert raised.value.why.endswith(f"pip install {package}")
