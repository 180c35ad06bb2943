"""The options of rump_server: getopt's rules, defaults, the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rumpfs.cli.options import UsageError, getopt, parse


def split(*words: str) -> list[tuple[str, str]]:
    return list(getopt("prog", words))


def test_forms_of_options() -> None:
    expected = [("s", ""), ("l", "rumpvfs"), ("", "url")]
    for words in (
        ["-s", "-l", "rumpvfs", "url"],
        ["-s", "-lrumpvfs", "url"],
        ["-slrumpvfs", "url"],
        ["-sl", "rumpvfs", "url"],
        ["-s", "-l", "rumpvfs", "--", "url"],
    ):
        assert split(*words) == expected


def test_a_value_may_look_like_an_option() -> None:
    assert split("-m", "-s", "-l", "--", "-c-1", "x") == [("m", "-s"), ("l", "--"), ("c", "-1"), ("", "x")]


def test_options_end_at_the_first_operand_and_at_a_double_dash() -> None:
    assert split("a", "-s") == [("", "a"), ("", "-s")]
    assert split("--", "-s", "--") == [("", "-s"), ("", "--")]
    assert split("-", "-s") == [("", "-"), ("", "-s")]


def test_errors_come_in_the_order_of_the_words() -> None:
    with pytest.raises(UsageError, match="invalid dtoken"):
        parse("prog", ["-d", "bogus=1", "-Z"], {})
    with pytest.raises(UsageError, match="invalid option -- 'Z'"):
        parse("prog", ["-Z", "-d", "bogus=1"], {})
    with pytest.raises(UsageError, match="invalid option -- ':'"):
        parse("prog", ["-:", "url"], {})


def test_what_is_repeated() -> None:
    words = "-lrumpvfs -m a -d key=/a,hostpath=x,size=1 -lother -m b -vs"
    words += " -d key=/b,hostpath=y,size=2x1k,offset=1b,type=chr,ro unix://sock"
    options = parse("prog", words.split(), {})
    assert (options.libraries, options.modules, options.url) == (
        ["rumpvfs", "other"],
        ["a", "b"],
        "unix://sock",
    )
    assert [(drive.key, drive.size, drive.offset) for drive in options.drives] == [
        (b"/a", 1, 0),
        (b"/b", 2048, 512),
    ]
    assert (options.verbose, options.foreground) == (True, True)


def test_defaults() -> None:
    options = parse("prog", ["unix://sock"], {})
    assert options.ncpu == os.cpu_count()
    assert (options.total_ram, options.foreground, options.verbose) == (None, False, False)
    assert options.drives == options.libraries == options.modules == []


@pytest.mark.parametrize(
    ("words", "ncpu", "total_ram"),
    [
        (["-c3", "-r16m"], 3, 16 << 20),
        (["-c1", "-c", "host", "-r", "1g", "-r", "2x512"], os.cpu_count(), 1024),
        (["-c2147483647", "-r1b"], 2**31 - 1, 512),
    ],
)
def test_numbers(words: list[str], ncpu: int, total_ram: int) -> None:
    options = parse("prog", [*words, "unix://sock"], {})
    assert (options.ncpu, options.total_ram) == (ncpu, total_ram)


def test_the_environment_says_what_options_do_not() -> None:
    environ = {"RUMP_NCPU": "5", "RUMP_MEMLIMIT": "16m", "RUMP_VERBOSE": "1"}
    options = parse("prog", ["unix://sock"], environ)
    assert (options.ncpu, options.total_ram, options.verbose) == (5, 16 << 20, True)
    options = parse("prog", ["-c2", "-r1k", "unix://sock"], environ | {"RUMP_VERBOSE": "0"})
    assert (options.ncpu, options.total_ram, options.verbose) == (2, 1024, False)
    with pytest.raises(UsageError, match="prog: RUMP_NCPU `none': a number of CPUs is from 1"):
        parse("prog", ["unix://sock"], {"RUMP_NCPU": "none"})
    with pytest.raises(UsageError, match="prog: RUMP_MEMLIMIT `lots': illegal number"):
        parse("prog", ["unix://sock"], {"RUMP_MEMLIMIT": "lots"})


@pytest.mark.parametrize(
    "value", ["", " 1", "1_0", "+1", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "0x10", "2147483648"]
)
def test_numbers_of_cpus_are_plain_decimal(value: str) -> None:
    with pytest.raises(UsageError, match="a number of CPUs"):
        parse("prog", ["-c", value, "unix://sock"], {})


def test_module_dir_is_a_directory_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modules").mkdir()
    for words in (
        ["--module-dir", "modules"],
        ["--module-dir=modules"],
        ["--module-dir", str(tmp_path / "modules")],
    ):
        assert parse("p", [*words, "url"], {}).module_dir == str(tmp_path / "modules")
    assert parse("p", ["url"], {}).module_dir is None
    with pytest.raises(UsageError, match="`nowhere': no such directory") as caught:
        parse("p", ["--module-dir", "nowhere", "url"], {})
    assert not caught.value.usage


@pytest.mark.parametrize("word", ["help", "version", "print-module-dir"])
def test_what_is_shown_needs_no_operand(word: str) -> None:
    assert parse("prog", ["-v", f"--{word}"], {}).show == word


def test_the_value_of_an_option_that_is_a_word() -> None:
    for words in (["--trace", "-s", "url"], ["--trace=-s", "url"]):
        assert split(*words) == [("trace", "-s"), ("", "url")]
        assert parse("prog", words, {}).trace == "-s"
    assert parse("prog", ["--trace=", "url"], {}).trace == ""
    assert parse("prog", ["url"], {}).trace is None
