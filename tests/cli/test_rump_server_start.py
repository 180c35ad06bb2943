"""rump_server and rump_allserver where they do not start: messages and exit statuses of the C program.

The expected lines are those that the C program printed (NetBSD 7.99.34 on Linux), unless a test says what we
promise instead.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.servers import run

USAGE = "usage: {} [-s] [-c ncpu] [-d drivespec] [-l libs] [-m modules] bindurl"
INIT_FAILED = "rump server init failed: "

#: command line -> lines on standard error; status 1; "usage" stands for the usage
RECORDED = [
    ("", ["usage"]),
    ("-Z unix://x", ["rump_server: invalid option -- 'Z'", "usage"]),
    ("-s", ["usage"]),
    ("-s foo", ["rump_sp: invalid locator ``foo''", INIT_FAILED + "Invalid argument"]),
    ("-s unix://", ["rump_sp: failed to bind to URL unix://", INIT_FAILED + "Address already in use"]),
    ("-s http://x", ["rump_sp: invalid identifier ``http://x''", INIT_FAILED + "Invalid argument"]),
    ("-s tcp://127.0.0.1", ["rump_sp_tcp: missing port specifier", INIT_FAILED + "Invalid argument"]),
    (
        "-s tcp://127.0.0.1:70000",
        ["rump_sp_tcp: port 70000 out of range", INIT_FAILED + "Result too large or too small"],
    ),
    (
        "-s tcp://127.0.0.1:0x",
        ["rump_sp_tcp: junk at end of port: 127.0.0.1:0x", INIT_FAILED + "Invalid argument"],
    ),
    (
        "-s unix:///no/such/dir/sock",
        [
            "rump_sp: failed to bind to URL unix:///no/such/dir/sock",
            INIT_FAILED + "No such file or directory",
        ],
    ),
    ("-d key=/dev/a unix://cs1", ["incomplete drivespec", "usage"]),
    ("-d key=/dev/a,hostpath=/x unix://cs1", ["incomplete drivespec", "usage"]),
    ("-d bogus=1 unix://cs1", ["invalid dtoken", "usage"]),
    ("-d key=/k,hostpath=h,size=host,type=foo unix://cs1", ["invalid type foo", "usage"]),
]


@pytest.mark.parametrize(("words", "lines"), RECORDED, ids=[words or "nothing" for words, _ in RECORDED])
def test_messages_as_recorded(tmp_path: Path, words: str, lines: list[str]) -> None:
    done = run(tmp_path, "rump_server", *words.split())
    expected = [USAGE.format("rump_server") if line == "usage" else line for line in lines]
    assert (done.stderr.splitlines(), done.stdout, done.returncode) == (expected, "", 1)


@pytest.mark.parametrize("name", ["librumpnosuch.so", "rumpnosuch"])
def test_an_unknown_library_is_named_with_what_is_installed(tmp_path: Path, name: str) -> None:
    # The second line has the dynamic linker's reason in C; ours says what there is to load.
    done = run(tmp_path, "rump_server", "-l", name, "unix://cs1")
    first, second = done.stderr.splitlines()
    assert first == f'failed to load -libraries, last error from "{name}":'
    assert second.startswith("  no such component; installed are ")
    assert "rumpvfs" in second
    assert done.returncode == 1
    assert not (tmp_path / "cs1").exists()


DISK = "-l librumpvfs.so -l librumpdev.so -l librumpdev_disk.so"
NO_HOSTPATH = "etfs hostpath open: No such file or directory"
NO_SIZE = "size=host, but cannot query non-zero size: Invalid argument"
TWICE = "-d key=/a,hostpath=host,size=host -d key=//a,hostpath=host,size=host"

#: (options, the C program's line, status of the process in the foreground without -s)
REFUSED = [
    (f"{DISK} -d key=/dev/a,hostpath=/no/such/file,size=host", NO_HOSTPATH, 2),
    ("-l librumpvfs.so -d key=/k,hostpath=/no/such,size=host", NO_HOSTPATH, 2),
    ("-l librumpvfs.so -d key=nokey,hostpath=host,size=host,type=reg", "etfs register: Invalid argument", 22),
    ("-d key=/k,hostpath=host,size=host", "etfs register: Function not implemented", 78),
    (f"{DISK} {TWICE}", "etfs register: File exists", 17),
    (f"{DISK} -d key=/a,hostpath=empty,size=host", NO_SIZE, 22),
    (f"{DISK} -d key=/a,hostpath=host,disklabel=a", "disklabel not found: No such file or directory", 2),
    (f"{DISK} -d key=/a,hostpath=missing,disklabel=a", NO_HOSTPATH, 2),
    (f"{DISK} -d key=/a,hostpath=missing,size=1m,ro", NO_HOSTPATH, 2),
    ("-m /no/such.mod", "module etfs register failed: Function not implemented", 78),
    ("-lrumpvfs -m /no/such.mod", "module etfs register failed: No such file or directory", 2),
    ("-lrumpvfs -m host", "module load failed: Exec format error", 8),
]  # fmt: skip


@pytest.mark.parametrize(("words", "line", "status"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_what_fails_after_the_fork(tmp_path: Path, words: str, line: str, status: int) -> None:
    (tmp_path / "host").write_bytes(b"not a module and no disk label either\n" * 512)
    (tmp_path / "empty").touch()
    before = sorted(path.name for path in tmp_path.iterdir())
    for foreground, expected in (["-s"], 1), ([], status):
        done = run(tmp_path, "rump_server", *foreground, *words.split(), "unix://sock")
        # Below the C program's line there may be one of ours, indented, with the circumstances.
        first, *more = done.stderr.splitlines()
        assert first == line
        assert all(text.startswith("  ") and "b'" not in text for text in more)
        assert done.returncode == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("foo", 22),
        ("unix:///no/such/dir/sock", 2),
        ("tcp6://::1:1/", 45),
        ("tcp://127.0.0.1:99999", 34),
        ("unix://" + "x" * 108, 63),
        ("unix://plainfile", 48),
    ],
)
def test_the_foreground_process_ends_with_netbsds_number(tmp_path: Path, url: str, status: int) -> None:
    (tmp_path / "plainfile").write_text("precious")
    done = run(tmp_path, "rump_server", url)
    assert done.returncode == status
    assert INIT_FAILED in done.stderr
    assert (tmp_path / "plainfile").read_text() == "precious"


def test_a_plain_file_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    (tmp_path / "plainfile").touch()
    done = run(tmp_path, "rump_server", "-s", "unix://plainfile")
    assert done.stderr.splitlines() == [
        "rump_sp: failed to bind to URL unix://plainfile",
        "rump server init failed: Address already in use",
    ]
    assert done.returncode == 1


def test_a_tcp_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"tcp://127.0.0.1:{sock.getsockname()[1]}/"
        done = run(tmp_path, "rump_server", url)
    assert done.stderr.splitlines() == [
        f"rump_sp: failed to bind to URL {url}",
        "rump server init failed: Address already in use",
    ]
    assert done.returncode == 48


#: Where the C program aborts, crashes or takes no notice: a message and status 1.
BETTER = [
    ("-c 0", "rump_server: -c `0': a number of CPUs is from 1 to 2147483647"),
    ("-c -1", "rump_server: -c `-1': a number of CPUs is from 1 to 2147483647"),
    ("-c two", "rump_server: -c `two': a number of CPUs is from 1 to 2147483647"),
    ("-c 99999999999999999999999", "rump_server: -c `99999999999999999999999': a number of CPUs is from 1 "),
    ("-r 0", "rump_server: -r 0 is less than 1."),
    ("-r 16q", "rump_server: -r `16q': illegal number"),
    ("-r 9999999t", "rump_server: -r 9999999t is greater than 9223372036854775807."),
    ("-d key=/k,hostpath=h,size=1y", "rump_server: -d size `1y': illegal number"),
    ("-d key=/k,hostpath=h,size=1,offset=-1", "rump_server: -d offset -1 is less than 0."),
]


@pytest.mark.parametrize(("words", "message"), BETTER, ids=[words for words, _ in BETTER])
def test_numbers_that_are_none(tmp_path: Path, words: str, message: str) -> None:
    done = run(tmp_path, "rump_server", *words.split(), "unix://sock")
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
    assert done.returncode == 1


@pytest.mark.parametrize("token", ["key", "hostpath", "size", "offset", "disklabel", "type"])
def test_a_token_without_its_value_is_a_message(tmp_path: Path, token: str) -> None:
    done = run(tmp_path, "rump_server", "-d", token, "unix://sock")
    assert done.stderr.splitlines() == [f"missing value for {token}", USAGE.format("rump_server")]
    assert done.returncode == 1


#: sysproxy.md's list of what a drivespec may not say (rump_allserver.c: processdrive)
TOKENS = [
    ("key=/a,key=/b", "key already given"),
    ("hostpath=a,hostpath=b", "hostpath already given"),
    ("size=1,size=2", "size already given"),
    ("size=host,size=1", "size already given"),
    ("offset=1,size=host", "cannot specify offset with size=host"),
    ("size=host,offset=1", "cannot specify offset with size=host"),
    ("offset=1,offset=2", "offset already given"),
    ("size=1,disklabel=a", "disklabel needs to be used alone"),
    ("offset=1,disklabel=a", "disklabel needs to be used alone"),
    ("disklabel=A", "invalid label part"),
    ("disklabel=aa", "invalid label part"),
    ("type=blk,type=chr", "type already specified"),
    ("type=dir", "invalid type dir"),
    ("key=/a,hostpath=b,size=0", "incomplete drivespec"),
    ("size=1", "incomplete drivespec"),
    ("ro=1", "invalid dtoken"),
    ("KEY=/a", "invalid dtoken"),
    ("key=/a,,size=1", "invalid dtoken"),
]


@pytest.mark.parametrize(("drivespec", "message"), TOKENS, ids=[drivespec for drivespec, _ in TOKENS])
def test_drivespecs_that_contradict_themselves(tmp_path: Path, drivespec: str, message: str) -> None:
    done = run(tmp_path, "rump_allserver", "-d", drivespec, "unix://sock")
    assert done.stderr.splitlines() == [message, USAGE.format("rump_allserver")]
    assert done.returncode == 1


#: (environment, options, the components that are named)
BINDING = [
    ({"LD_BIND_NOW": "1"}, "-lrumpvfs -lrumpfs_ffs", "rumpdev_disk"),
    ({"LD_BIND_NOW": "1"}, "-lrumpfs_ffs", "rumpvfs, rumpdev_disk"),
    ({}, "-lrumpfs_ffs", "rumpvfs"),
    ({"LD_BIND_NOW": ""}, "-s -l librumpfs_ffs.so", "rumpvfs"),
]


@pytest.mark.parametrize(("environ", "words", "missing"), BINDING)
def test_a_missing_component_is_named(
    tmp_path: Path, environ: dict[str, str], words: str, missing: str
) -> None:
    done = run(tmp_path, "rump_server", *words.split(), "unix://tsock", **environ)
    first, second = done.stderr.splitlines()
    assert first.startswith('failed to load -libraries, last error from "')
    assert f"rumpfs_ffs requires components that are not loaded: {missing}" in second
    assert f"(add -l{missing.replace(', ', ' -l')})" in second
    assert done.returncode == 1


def test_every_component_is_asked_for_what_it_requires(tmp_path: Path) -> None:
    done = run(
        tmp_path, "rump_server", "-lrumpvfs", "-l", "librumpdev_disk.so", "unix://x", LD_BIND_NOW="yes"
    )
    assert done.stderr.splitlines() == [
        'failed to load -libraries, last error from "librumpdev_disk.so":',
        "  rumpdev_disk requires components that are not loaded: rumpdev (add -lrumpdev)",
    ]
    assert done.returncode == 1


@pytest.mark.parametrize("option", ["-l", "-m"])
def test_an_elf_file_is_refused_with_what_is_expected(tmp_path: Path, option: str) -> None:
    elf = tmp_path / "foreign.so"
    elf.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    done = run(tmp_path, "rump_server", "-s", "-lrumpvfs", option, str(elf), "unix://sock")
    first, second = done.stderr.splitlines()
    if option == "-l":
        assert first == f'failed to load -libraries, last error from "{elf}":'
        assert "expected is the name of a component, a dotted Python name" in second
    else:
        assert first == "module load failed: Exec format error"
        assert f"{elf} is an ELF file" in second
        assert "NAME, CLASS, REQUIRES, init(kernel) and fini(kernel)" in second
    assert done.returncode == 1


def test_a_module_that_is_not_there_says_where_there_are_some(tmp_path: Path) -> None:
    directory = run(tmp_path, "rump_server", "--print-module-dir").stdout.rstrip("\n")
    done = run(tmp_path, "rump_server", "-s", "-lrumpvfs", "-m", "/modules/tmpfs.kmod", "unix://sock")
    assert done.stderr.splitlines() == [
        "module etfs register failed: No such file or directory",
        "  /modules/tmpfs.kmod: no such file. The modules that come with rumpfs are in "
        f"{directory}: tmpfs.kmod",
    ]
    assert (Path(directory) / "tmpfs.kmod").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["-s", "unix://a", "unix://b"],
        ["unix://a", "-s"],  # the first operand ends the options, as in POSIX
        ["--", "-s", "unix://a"],
    ],
)
def test_exactly_one_operand(tmp_path: Path, words: list[str]) -> None:
    done = run(tmp_path, "rump_server", *words)
    assert (done.stderr.splitlines(), done.returncode) == ([USAGE.format("rump_server")], 1)


@pytest.mark.parametrize("option", "cdlmr")
def test_an_option_without_its_value(tmp_path: Path, option: str) -> None:
    for words in [f"-{option}"], [f"-sv{option}"]:
        done = run(tmp_path, "rump_server", *words)
        assert done.stderr.splitlines() == [
            f"rump_server: option requires an argument -- '{option}'",
            USAGE.format("rump_server"),
        ]
        assert done.returncode == 1


@pytest.mark.parametrize("word", ["--no-such-option", "--help=me", "--hel"])
def test_an_unknown_long_option(tmp_path: Path, word: str) -> None:
    done = run(tmp_path, "rump_allserver", word, "unix://x")
    assert done.stderr.splitlines() == [
        f"rump_allserver: unrecognized option '{word}'",
        USAGE.format("rump_allserver"),
    ]
    assert done.returncode == 1


@pytest.mark.parametrize("program", ["rump_server", "rump_allserver"])
def test_help_says_what_a_user_has_to_know(tmp_path: Path, program: str) -> None:
    done = run(tmp_path, program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"usage: {program} [-s] [-v] [-c ncpu] [-d drivespec] [-l library] [-m module]"
    )
    for words in (
        "-s ", "-v ", "-c ncpu", "-d drivespec", "-l library", "-m module", "-r total_ram",
        "--print-module-dir", "key=", "hostpath=",
        "size=", "offset=", "disklabel=", "type=blk|chr|reg", "ro ",
        "Sysproxy has no authentication", "tcp url is open to everyone", "LD_BIND_NOW",
    ):  # fmt: skip
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
