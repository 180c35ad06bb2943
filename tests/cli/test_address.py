"""Addresses: the rules of the design, and what is said to those that break them."""

from __future__ import annotations

import pytest

from rumpfs.base.address import AddressError, ImageAddress
from rumpfs.cli.address import HostAddress, ImagePath, ServerAddress, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("file", HostAddress(b"file")),
        ("/etc/passwd", HostAddress(b"/etc/passwd")),
        ("a:b", HostAddress(b"a:b")),
        ("dir/unix:x", HostAddress(b"dir/unix:x")),
        ("\udcff", HostAddress(b"\xff")),
        (":/", ServerAddress(None, b"/")),
        (":/a:/b", ServerAddress(None, b"/a:/b")),
        (":/\udcff", ServerAddress(None, b"/\xff")),
        ("unix://sock:/mnt", ServerAddress("unix://sock", b"/mnt")),
        ("unix:///tmp/sock:/mnt/x", ServerAddress("unix:///tmp/sock", b"/mnt/x")),
        ("unix:///tmp/a:/b:/mnt", ServerAddress("unix:///tmp/a:/b", b"/mnt")),
        ("unix://sock", ServerAddress("unix://sock", None)),
        ("unix:///tmp/a:b", ServerAddress("unix:///tmp/a:b", None)),
        ("tcp://127.0.0.1:3755:/mnt", ServerAddress("tcp://127.0.0.1:3755", b"/mnt")),
        ("tcp://127.0.0.1:3755/:/mnt", ServerAddress("tcp://127.0.0.1:3755/", b"/mnt")),
        ("tcp://127.0.0.1:3755/", ServerAddress("tcp://127.0.0.1:3755/", None)),
        ("disk.img:/", ImagePath(ImageAddress("disk.img", "", 0), "disk.img", b"/")),
        ("/a/b.img:s2a:/etc", ImagePath(ImageAddress("/a/b.img", "s2a", 0), "/a/b.img:s2a", b"/etc")),
        ("b.img:e@1m:/x", ImagePath(ImageAddress("b.img", "e", 1 << 20), "b.img:e@1m", b"/x")),
        ("b.img@512:/\udcff", ImagePath(ImageAddress("b.img", "", 512), "b.img@512", b"/\xff")),
        ("dir:/b.img:a:/x", ImagePath(ImageAddress("dir:/b.img", "a", 0), "dir:/b.img:a", b"/x")),
        (
            "https://host:8080/d.img:s2a@1m:/etc/x",
            ImagePath(
                ImageAddress("https://host:8080/d.img", "s2a", 1 << 20),
                "https://host:8080/d.img:s2a@1m",
                b"/etc/x",
            ),
        ),
        ("s3://b/d.img:/", ImagePath(ImageAddress("s3://b/d.img", "", 0), "s3://b/d.img", b"/")),
        (
            "zip://d.img::https://h/a.zip:a:/x",
            ImagePath(
                ImageAddress("zip://d.img::https://h/a.zip", "a", 0), "zip://d.img::https://h/a.zip:a", b"/x"
            ),
        ),
        ("file:///a/b.img:a:/x", ImagePath(ImageAddress("/a/b.img", "a", 0), "file:///a/b.img:a", b"/x")),
        ("https://host/d.img", HostAddress(b"https://host/d.img")),
    ],
)
def test_addresses(text: str, address: HostAddress | ImagePath | ServerAddress) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "empty"),
        (":", "write :/"),
        (":etc", "write :/etc"),
        ("unix://", "no server is named"),
        ("unix://:/x", "no server is named"),
        ("b.img@1z:/x", "offset"),
    ],
)
def test_what_is_no_address(text: str, remedy: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse(text)
    assert remedy in str(raised.value)


@pytest.mark.parametrize("url", ["unix://sock", "unix:///a/b", "tcp://10.0.0.1:99"])
def test_an_address_is_its_prefix_and_its_path(url: str) -> None:
    address = parse(f"{url}:/dir/file")
    assert isinstance(address, ServerAddress)
    assert address.path is not None
    assert address.prefix + address.path.decode() == f"{url}:/dir/file"
