"""Extended attributes and quotas through the client, on images that FreeBSD and NetBSD made."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from rumpfs.abi.errno import EIO, ENODATA, EOPNOTSUPP, EROFS
from rumpfs.abi.mount import MNT_EXTATTR, MNT_RDONLY
from rumpfs.abi.quota import QUOTA_NOLIMIT, Quotaval
from rumpfs.client import Client, RumpError
from rumpfs.client.quota import quotas
from rumpfs.client.records import extattr_names
from tests.images_util import freebsd_image, manifest, netbsd_image
from tests.serving import serving

UFS1 = "extattr-v1be"
QUOTAS = "quota2-v2le"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with FreeBSD's attributes on /f, NetBSD's on /n, and quotas on /q."""
    images = {"f": freebsd_image("ufs-little"), "n": netbsd_image(UFS1), "q": netbsd_image(QUOTAS)}
    drives = [
        word for n, path in images.items() for word in ("-d", f"key=/dev/{n},hostpath={path},size=host,ro")
    ]
    with serving(tmp_path_factory.mktemp("server"), *drives) as served:
        with Client(served.url) as client:
            for name in images:
                client.mkdir(f"/{name}")
                client.mount(
                    "ffs", f"/dev/{name}", f"/{name}", MNT_RDONLY | (MNT_EXTATTR if name == "n" else 0)
                )
        yield served.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def refused(number: int, call: object, *args: object) -> RumpError:
    with pytest.raises(RumpError) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.netbsd_errno == number
    return caught.value


def test_reading_attributes(client: Client) -> None:
    assert client.listxattr("/f/xattrs") == ["user.test"]
    assert (
        client.getxattr("/f/xattrs", "user.test")
        == client.getxattr(b"/f/xattrs", b"user.test")
        == b"testvalue"
    )
    assert client.listxattr("/f/xattrs2") == [f"user.attr{number}" for number in range(1, 2298)]
    assert len(client.getxattr("/f/xattrs3", "user.big")) == 63999
    assert client.listxattr("/f/file1") == []
    with client.open("/f/xattrs") as file:
        assert client.listxattr(file.fd) == ["user.test"]
        assert client.getxattr(file.fd, "user.test") == b"testvalue"


def test_both_namespaces(client: Client) -> None:
    facts = [fact for fact in manifest(UFS1)["extattrs"] if "errno" not in fact]
    path = facts[0]["path"]
    names = {f"{fact['ns']}.{fact['name']}" for fact in facts if fact["path"] == path}
    assert {name.partition(".")[0] for name in names} == {"user", "system"}
    assert set(client.listxattr(f"/n{path}")) == names
    for fact in facts:
        assert len(client.getxattr(f"/n{fact['path']}", f"{fact['ns']}.{fact['name']}")) == fact["size"]


def test_users_see_what_they_may(url: str) -> None:
    """The first file has mode 0644, and everybody may search the directories above it."""
    facts = [fact for fact in manifest(UFS1)["extattrs"] if "errno" not in fact]
    first = facts[0]["path"]
    (entry,) = [entry for entry in manifest(UFS1)["entries"] if entry["path"] == first]
    assert entry["mode"] == "0644"
    names = {f"user.{fact['name']}" for fact in facts if fact["path"] == first and fact["ns"] == "user"}
    with Client(url) as client:
        client.sys.setuid(12345)
        assert set(client.listxattr(f"/n{first}")) == names
        assert client.getxattr(f"/n{first}", "user.mime")
        with pytest.raises(PermissionError):
            client.getxattr(f"/n{first}", "system.label")


def test_links_are_followed_unless_told_otherwise(client: Client) -> None:
    assert client.listxattr("/f/link1") == client.listxattr("/f/link1", follow_symlinks=False) == []
    refused(ENODATA, client.getxattr, "/f/link1", "user.test")


def test_what_fails(client: Client) -> None:
    error = refused(ENODATA, client.getxattr, "/f/xattrs", "user.other")
    assert (error.errno, error.filename) == (errno.ENODATA, "/f/xattrs")
    with pytest.raises(FileNotFoundError):
        client.listxattr("/f/missing")
    with pytest.raises(OSError, match="Read-only"):
        client.setxattr("/n/names", "user.mime", b"text/plain")
    with pytest.raises(OSError, match="Read-only"):
        client.removexattr("/n/names", "user.mime")
    refused(EROFS, client.setxattr, "/f/xattrs", "user.test", memoryview(b"value"))
    refused(EROFS, client.removexattr, "/f/xattrs", "user.test")
    refused(EOPNOTSUPP, client.listxattr, "/")
    for name in ("test", "user", "user.", ".test", "trusted.test", "", "user.a\0b"):
        with pytest.raises(ValueError, match=r"user\.NAME or system\.NAME"):
            client.getxattr("/f/xattrs", name)


def test_names_that_end_in_the_middle() -> None:
    assert extattr_names(b"\x01a\x00\x02bc") == [b"a", b"", b"bc"]
    for data in (b"\x01", b"\x03ab", b"\x01a\xff"):
        with pytest.raises(RumpError) as caught:
            extattr_names(data)
        assert caught.value.netbsd_errno == EIO


def test_the_calls_of_the_table_work_as_they_are(client: Client) -> None:
    buffer = bytearray(100)
    assert client.sys.getxattr("/f/xattrs", "test", buffer, len(buffer)) == 9
    assert buffer[:10] == b"testvalue\0"
    assert client.sys.listxattr("/f/xattrs", 0, 0) == len(b"test\0")
    assert client.sys.extattr_list_link("/f/xattrs", 1, buffer, 100) == 5
    assert buffer[:5] == b"\x04test"


def test_quotas(client: Client) -> None:
    found = {(idtype, ident, objtype): value for idtype, ident, objtype, value in quotas(client, "/q")}
    for fact in manifest(QUOTAS)["quota"]:
        if "errno" not in fact:
            ident = None if fact["id"] == "default" else fact["id"]
            assert found[fact["idtype"], ident, fact["objtype"].removesuffix("s")] == Quotaval(
                fact["hard"], fact["soft"], fact["usage"], fact["expire"], fact["grace"]
            )
    assert found["group", None, "file"].hardlimit == QUOTA_NOLIMIT
    assert refused(EOPNOTSUPP, list, quotas(client, "/f")).filename == "/f"
    with pytest.raises(FileNotFoundError):
        list(quotas(client, os.fsencode("/missing")))
