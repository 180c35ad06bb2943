"""rumpfs mount and umount."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from rumpfs.abi import mount as abi
from rumpfs.cli.tool import Failure
from rumpfs.cli.verbs.mount import parse_options
from rumpfs.client import Client
from tests.cli.verbs import Shell
from tests.images_util import netbsd_image
from tests.serving import serving


@pytest.fixture(scope="module")
def drive_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with an image at /dev/dk, what is no image at /dev/junk, and damaged ones.

    /dev/headless lacks the primary superblock, /dev/logged has a log without headers.
    """
    directory = tmp_path_factory.mktemp("drive")
    (directory / "junk").write_bytes(b"junk" * 100_000)
    damaged = {"headless": ("clean-v1le-16k-2k", 8192, 8192), "logged": ("wapbl-end-dirty", 8 << 20, 1024)}
    for key, (name, offset, nbytes) in damaged.items():
        data = bytearray(netbsd_image(name).read_bytes())
        data[offset : offset + nbytes] = bytes(nbytes)
        (directory / key).write_bytes(data)
    drives = ["-d", f"key=/dev/dk,hostpath={netbsd_image('clean-v1le-16k-2k')},size=host,ro"]
    for key in ("junk", *damaged):
        drives += ["-d", f"key=/dev/{key},hostpath={directory}/{key},size=host,ro"]
    with serving(directory, *drives) as served:
        with Client(served.url) as client:
            client.mkdir("/mnt")
        yield served.url


@pytest.fixture
def shell(drive_url: str, tmp_path: Path) -> Iterator[Shell]:
    """A shell for that server, with nothing mounted at the end."""
    yield Shell(drive_url, tmp_path)
    with Client(drive_url) as client:
        for vfs in reversed(client.getvfsstat()[1:]):
            client.unmount(vfs.f_mntonname, abi.MNT_FORCE)


def test_an_image_is_mounted_listed_and_unmounted(shell: Shell) -> None:
    shell.ok("mount", "-t", "ffs", "-o", "ro", "/dev/dk", ":/mnt")
    assert "many" in shell.ok("ls", ":/mnt").lines
    assert shell.ok("mount").lines == [
        "rumpfs on / type rumpfs (local)",
        "/dev/dk on /mnt type ffs (ro, local)",
    ]
    assert shell.ok("mount", shell.environ["RUMP_SERVER"]).out == shell.ok("mount").out
    root, ffs = shell.ok("mount", "--json").json["filesystems"]
    assert (root["mountpoint"], ffs["mountpoint"]) == ("/", "/mnt")
    assert (ffs["fstype"], ffs["source"], ffs["options"]) == ("ffs", "/dev/dk", ["ro", "local"])
    shell.ok("umount", ":/mnt")
    assert shell.ok("ls", ":/mnt").lines == []
    # ffs is the default, and the device may be written as an address
    shell.ok("mount", "-o", "ro", f"{shell.environ['RUMP_SERVER']}:/dev/dk", ":/mnt")


def test_another_superblock(shell: Shell) -> None:
    assert "Invalid argument" in shell.fails("mount", "-o", "ro", "/dev/headless", ":/mnt")
    shell.ok("mount", "-o", "ro,sblock=32", "/dev/headless", ":/mnt")
    assert "many" in shell.ok("ls", ":/mnt").lines


def test_a_damaged_log_is_done_without_when_that_is_wanted(shell: Shell) -> None:
    shell.ok("mount", "-o", "ro,force", "/dev/logged", ":/mnt")
    assert shell.ok("mount").lines[1] == "/dev/logged on /mnt type ffs (ro, local)"


def test_tmpfs_with_options(shell: Shell) -> None:
    options = "size=2m,nodes=50,mode=750,uid=7,gid=8,nosuid,noatime"
    shell.ok("mount", "-t", "tmpfs", "-o", options, "-o", "ro,rw", "tmpfs", ":/mnt")
    (there,) = shell.ok("stat", "--json", ":/mnt").json["entries"]
    assert (there["mode"], there["uid"], there["gid"]) == (0o750, 7, 8)
    (vfs,) = shell.ok("df", "--json", ":/mnt").json["filesystems"]
    assert (vfs["blocks"] * vfs["block_size"], vfs["files"]) == (2 << 20, 50)
    assert vfs["options"] == ["nosuid", "noatime", "local"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-t nosuch /dev/dk :/mnt", "nosuch: No such device: the server has no such file system"),
        ("-o ro /dev/none :/mnt", ":/dev/none: No such file or directory: *-d key=/dev/none,hostpath=..."),
        ("-o ro /dev/dk :/none", ":/none: No such file or directory: rumpfs mkdir :/none makes *"),
        ("-o ro /tmp :/mnt", ":/tmp: Block device required: not a block device of the server"),
        (
            "-o ro /dev/junk :/mnt",
            ":/dev/junk: Invalid argument: it does not hold a sound ffs file system; rumpfs sysctl -n kern.*",
        ),
        ("-o ro /dev/logged :/mnt", ":/dev/logged: *: its log is damaged; *-o force mounts without *"),
        ("-o ro,sblock=33 /dev/headless :/mnt", ":/dev/headless: Invalid argument: *"),
        ("-o ro /dev/dk :/dev/null", ":/dev/null: Not a directory"),
        ("/dev/dk :/mnt", ":/dev/dk: Read-only file system: it can only be mounted read-only: -o ro"),
    ],
)
def test_failures_name_what_is_wrong_and_what_helps(shell: Shell, words: str, said: str) -> None:
    assert fnmatchcase(shell.fails("mount", *words.split()), f"rumpfs mount: {said}\n")


def test_an_image_that_is_mounted_already(shell: Shell) -> None:
    shell.ok("mount", "-o", "ro", "/dev/dk", ":/mnt")
    assert shell.fails("mount", "-o", "ro", "/dev/dk", ":/tmp") == (
        "rumpfs mount: :/dev/dk: Device or resource busy: in use already\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-o ro", "what is to be mounted, and where?"),
        ("/dev/dk", "/dev/dk is a path of the host"),
        (":/mnt", "where is :/mnt to be mounted?"),
        ("-t kernfs kernfs /mnt", "on the host, ffs and tmpfs can be mounted"),
        ("-o bogus /dev/dk :/mnt", "-o bogus: ffs has no such option; it has ro, sync"),
        ("-t tmpfs -o bogus=1 tmpfs :/mnt", "nodes=, size="),
        ("-t tmpfs -o size=many tmpfs :/mnt", "-o size=many: not a number"),
        ("-t tmpfs -o mode=9 tmpfs :/mnt", "-o mode=9: not a number"),
        ("-o size=1 /dev/dk :/mnt", "sblock="),
        ("-o sblock=x /dev/dk :/mnt", "-o sblock=x: not a number that sblock can have"),
        ("-o sblock /dev/dk :/mnt", "-o sblock: ffs has no such option"),
        ("a b c", "unrecognized arguments: c"),
    ],
)
def test_wrong_command_lines(shell: Shell, words: str, said: str) -> None:
    assert said in shell.fails("mount", *words.split(), status=2)


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("", 0), ("ro", 1), ("ro,rw", 0), ("nodev,nosuid", 0x18), ("nodev,dev", 0), ("noatime", 0x4000000),
        ("noatime,atime", 0), ("sync,async", 0x42), ("sync,nosync", 0), ("log", 0x2000000),
        ("update,ro", 0x10001), ("union,discard,extattr", 0x1800020),
    ],
)  # fmt: skip
def test_options_are_mount_flags(options: str, flags: int) -> None:
    assert parse_options("ffs", [options]) == (flags, {})


@pytest.mark.parametrize("option", ["noro", "norw", "nosize", "ro=1", "=", "noupdate", "size"])
def test_options_that_do_not_exist(option: str) -> None:
    with pytest.raises(Failure, match="no such option"):
        parse_options("tmpfs", [option])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("-10", -10),
        (str(2**63 - 1), 2**63 - 1),
        ("0", 0),
        ("512", 512),
        ("1b", 512),
        ("3k", 3072),
        ("2M", 2 << 20),
        ("1g", 1 << 30),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_options("tmpfs", [f"size={text}"]) == (0, {"size": size})


@pytest.mark.parametrize(
    "text", ["", "k", "-", "--1", "1.5m", str(2**63), str(-(2**63) - 1), "9999999t", "1 k", "1_0", "+1", "٣"]
)
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(Failure, match="not a number"):
        parse_options("tmpfs", [f"size={text}"])


def test_only_limits_may_be_negative() -> None:
    # mount_tmpfs(8), and NetBSD's t_mount: negative, large
    assert parse_options("tmpfs", ["nodes=-1"]) == (0, {"nodes": -1})
    for name in ("uid", "gid", "mode"):
        with pytest.raises(Failure, match="not a number"):
            parse_options("tmpfs", [f"{name}=-1"])


@pytest.mark.parametrize("size", ["-10", "9223372036854775807"])
def test_a_tmpfs_of_any_size(shell: Shell, size: str) -> None:
    shell.ok("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", ":/mnt")
    shell.ok("mkdir", ":/mnt/d")


def test_kernfs(shell: Shell) -> None:
    shell.ok("mount", "-t", "kernfs", "kernfs", ":/mnt")
    assert shell.ok("cat", ":/mnt/pagesize").lines == ["4096"]
    assert shell.ok("mount").lines[1:] == ["kernfs on /mnt type kernfs (local)"]
    assert ": Operation not supported: " in shell.fails(
        "mount", "-t", "kernfs", "-o", "update", "kernfs", ":/mnt"
    )


def test_null(shell: Shell) -> None:
    shell.ok("mount", "-t", "tmpfs", "tmpfs", ":/tmp")
    shell.ok("mkdir", ":/tmp/dir")
    shell.ok("mount", "-t", "null", "-o", "ro", ":/tmp", ":/mnt")
    assert shell.ok("ls", ":/mnt").lines == ["dir"]
    assert shell.ok("mount").lines[2:] == ["/tmp on /mnt type null (ro, local)"]
    assert "Read-only file system" in shell.fails("mkdir", ":/mnt/new")
    shell.ok("umount", ":/mnt")
    shell.ok("mount", "-t", "null", "/tmp", ":/mnt")
    assert "resource busy" in shell.fails("umount", ":/tmp")


def test_null_that_cannot_be(shell: Shell) -> None:
    for source, target in ((":/tmp", ":/tmp"), (":/", ":/mnt"), ("/mnt/dir", ":/mnt")):
        assert "not distinct paths" in shell.fails("mount", "-t", "null", source, target, status=2)
    said = shell.fails("mount", "-t", "null", ":/none", ":/mnt")
    assert said == "rumpfs mount: :/none: No such file or directory: it shows a directory of the server\n"
    assert "rumpfs mkdir :/none" in shell.fails("mount", "-t", "null", ":/tmp", ":/none")
    assert "Not a directory" in shell.fails("mount", "-t", "null", ":/dev/null", ":/mnt")


def test_umount_says_what_is_in_the_way(shell: Shell) -> None:
    said = shell.fails("umount", ":/tmp")
    assert said.startswith("rumpfs umount: :/tmp: Invalid argument: no file system is mounted there")
    assert shell.fails("umount", ":/none") == "rumpfs umount: :/none: No such file or directory\n"
    shell.ok("mount", "-o", "ro", "/dev/dk", ":/mnt")
    with Client(shell.environ["RUMP_SERVER"]) as client:
        client.chdir("/mnt")
        assert "-f unmounts it nevertheless" in shell.fails("umount", ":/mnt")
        shell.ok("umount", "-f", ":/mnt")


def test_a_server_that_lacks_file_systems(tmp_path: Path) -> None:
    with serving(tmp_path, program="rump_server") as served:
        shell = Shell(served.url, tmp_path)
        assert shell.fails("ls", ":/") == (
            "rumpfs ls: :/: Function not implemented: the server lacks a component: "
            "start it as rump_allserver, or with -l rumpvfs\n"
        )


def test_a_server_that_lacks_one(tmp_path: Path) -> None:
    with serving(tmp_path, "-lrumpvfs", program="rump_server") as served:
        shell = Shell(served.url, tmp_path)
        said = shell.fails("mount", "-t", "kernfs", "kernfs", ":/tmp")
        assert "start it as rump_allserver, or with -l rumpfs_kernfs" in said
