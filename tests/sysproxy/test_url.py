"""Addresses of servers: the table of the protocol's section 1.1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rumpfs.abi.errno import EINVAL, ENAMETOOLONG, EOPNOTSUPP, ERANGE
from rumpfs.sysproxy.url import TcpUrl, UnixUrl, UrlError, parse


def refused(url: str, client: bool = False) -> tuple[str, int]:
    with pytest.raises(UrlError) as caught:
        parse(url, client)
    assert str(caught.value) == caught.value.text
    return caught.value.text, caught.value.errno


@pytest.mark.parametrize("url", ["", "sock", "/tmp/sock", "unix:/tmp/sock", "tcp:1.2.3.4:5"])
def test_no_scheme(url: str) -> None:
    assert refused(url) == (f"rump_sp: invalid locator ``{url}''", EINVAL)


def test_a_long_scheme() -> None:
    url = "s" * 16 + "://x"
    assert refused(url) == (f"rump_sp: identifier too long in ``{url}''", EINVAL)


@pytest.mark.parametrize("scheme", ["", "UNIX", "Tcp", "udp", "s" * 15, "unix:", " unix"])
def test_an_unknown_scheme(scheme: str) -> None:
    url = f"{scheme}://x"
    assert refused(url) == (f"rump_sp: invalid identifier ``{url}''", EINVAL)


@pytest.mark.parametrize("address", ["", "::1", "1.2.3.4:5", "anything"])
def test_tcp6(address: str) -> None:
    assert refused(f"tcp6://{address}") == ("rump_sp: support not yet implemented", EOPNOTSUPP)


# --- tcp -----------------------------------------------------------------------------------------------


ANY = "0.0.0.0"  # noqa: S104 - INADDR_ANY


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("tcp://127.0.0.1:3755", "127.0.0.1", 3755),
        ("tcp://127.0.0.1:3755/", "127.0.0.1", 3755),
        ("tcp://10.0.0.255:1/anything at all", "10.0.0.255", 1),
        ("tcp://1.2.3.4:65535/", "1.2.3.4", 65535),
        ("tcp://1.2.3.4:0", "1.2.3.4", 0),
        ("tcp://1.2.3.4:0000080/", "1.2.3.4", 80),
        ("tcp://*:5", ANY, 5),
        ("tcp://0:3755/", ANY, 3755),
        ("tcp://0.0.0.0:5", ANY, 5),
    ],
)
def test_tcp(url: str, host: str, port: int) -> None:
    assert parse(url) == TcpUrl(host, port)
    if host == ANY:
        assert refused(url, client=True) == ("rump_sp_tcp: client needs !INADDR_ANY", EINVAL)
    else:
        assert parse(url, client=True) == TcpUrl(host, port)
        assert parse(str(TcpUrl(host, port))) == TcpUrl(host, port)


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1/", "*"])
def test_tcp_without_a_port(address: str) -> None:
    assert refused(f"tcp://{address}") == ("rump_sp_tcp: missing port specifier", EINVAL)


def test_a_long_tcp_address() -> None:
    assert refused(f"tcp://{'1' * 64}:5") == ("rump_sp_tcp: address too long", EINVAL)
    assert refused(f"tcp://{'1' * 63}:5") == (f"rump_sp_tcp: cannot parse {'1' * 63}", EINVAL)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.-4",
        "1.2.3.4 ",
        "01.2.3.4",
        "1..2.3",
        "٣.1.1.1",
    ],
)
def test_hosts_are_dotted_quads(host: str) -> None:
    assert refused(f"tcp://{host}:5") == (f"rump_sp_tcp: cannot parse {host}", EINVAL)


@pytest.mark.parametrize("port", ["", "/", "x", "-1", " 5", "+5"])
def test_no_port_number(port: str) -> None:
    address = f"1.2.3.4:{port}"
    assert refused(f"tcp://{address}") == (f"rump_sp_tcp: port now found: {address}", EINVAL)


@pytest.mark.parametrize("port", ["5x", "5:6", "5 ", "5.", "5\n"])
def test_junk_behind_the_port(port: str) -> None:
    address = f"1.2.3.4:{port}"
    assert refused(f"tcp://{address}") == (f"rump_sp_tcp: junk at end of port: {address}", EINVAL)


@pytest.mark.parametrize("port", ["65536", "99999", "4294967296"])
def test_ports_out_of_range(port: str) -> None:
    assert refused(f"tcp://1.2.3.4:{port}/") == (f"rump_sp_tcp: port {port} out of range", ERANGE)


def test_a_port_of_ten_thousand_digits() -> None:
    assert refused("tcp://1.2.3.4:" + "9" * 10_000)[1] == ERANGE


# --- unix -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tmp/s", "/", "/tmp/s/", "//x", "/tmp/a b", "/tmp/%20", "/tmp/x://y"])
def test_absolute_unix_paths_are_taken_as_they_are(path: str) -> None:
    assert parse(f"unix://{path}") == UnixUrl(path)
    assert str(UnixUrl(path)) == f"unix://{path}"


def test_relative_unix_paths_start_at_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("unix://sock") == UnixUrl(f"{tmp_path}/sock")
    assert parse("unix://a/../sock") == UnixUrl(f"{tmp_path}/a/../sock")


def test_the_working_directory_may_be_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    assert parse("unix://sock") == UnixUrl("sock")
    assert "working directory" in caplog.text


def test_long_unix_paths() -> None:
    longest = "/" + "x" * 106
    assert parse(f"unix://{longest}") == UnixUrl(longest)
    text, number = refused(f"unix://{longest}x")
    assert number == ENAMETOOLONG
    assert "108" in text
    # the limit is of bytes
    assert refused("unix:///" + "ü" * 54)[1] == ENAMETOOLONG


def test_a_relative_path_counts_with_its_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    room = 107 - len(str(tmp_path)) - 1
    if room > 0:
        assert parse("unix://" + "x" * room) == UnixUrl(f"{tmp_path}/{'x' * room}")
    assert refused("unix://" + "x" * (max(room, 0) + 1))[1] == ENAMETOOLONG
