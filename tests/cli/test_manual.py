"""The manual pages: mandoc(1) takes them, and they say what the commands say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import pytest

from rumpfs.cli import mount_helper, options, rump_ffs, rump_halt
from rumpfs.cli.helptext import Item, parse_help
from rumpfs.cli.manual import main, pages
from rumpfs.cli.mountopts import IGNORED, OPTIONS
from rumpfs.cli.rumpfs import JSON, VERBS, verb_parser
from rumpfs.client import Client
from rumpfs.inspect.image import Image
from rumpfs.inspect.image import Path as ImagePath
from tests.cli.inside import Inside
from tests.conftest import PROJECT

SOURCES = PROJECT / "docs" / "man"
PAGES = dict(pages(SOURCES))
SCRIPTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
PARSERS = {
    **{f"rumpfs-{verb}.1": verb_parser(verb, f"rumpfs {verb}") for verb in VERBS},
    "rump_ffs.8": rump_ffs.parser("rump_ffs"),
    "rump_tmpfs.8": rump_ffs.parser("rump_tmpfs"),
    "rumpfs-mount.8": mount_helper.mount_parser(),
    "rumpfs-umount.8": mount_helper.umount_parser(),
}
GETOPT = {
    "rump_server.1": {f"-{letter}" for letter in options.OPTSTRING if letter != ":"}
    | {f"--{name}" for name in options.LONG_OPTIONS},
    "rump.halt.1": {"-d", "-h", "-n", "--help", "--version"},
}
REFERENCE = re.compile(r"Xr (\S+) (\d)")


def plain(text: str) -> str:
    """Return text with runs of blanks as one."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all pages, as man(1) wants it."""
    made = tmp_path_factory.mktemp("man")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["manual", str(SOURCES), str(made)])
        assert main() == 0
    return made


@pytest.fixture(scope="module")
def shown(directory: Path) -> dict[str, str]:
    """All pages as text, by their names."""
    width = ["-O", "width=300"]
    return {
        path.name: re.sub(
            ".\b",
            "",
            subprocess.run(["mandoc", *width, path], capture_output=True, text=True, check=True).stdout,
        )
        for path in directory.glob("man?/*")
    }


def section(page: str, title: str) -> str:
    return re.split(r"^(?=\S)", page.partition(f"\n{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def listed(page: str) -> set[str]:
    """Return the options that a page lists."""
    _, _, text = page.partition("The options are:\n")
    found = re.findall(
        r"^ {5}(-\S.*?)(?: {2,}.*)?$", re.split(r"^\S", text, flags=re.MULTILINE)[0], re.MULTILINE
    )
    return {word.split()[0].partition("[")[0] for line in found for word in line.split(", ")}


def names_of(parser: ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


# --- what there is ----------------------------------------------------------------------------------------


def test_every_command_and_every_verb_has_a_page() -> None:
    have = {name.rpartition(".")[0] for name in PAGES}
    assert set(SCRIPTS) <= have
    assert {f"rumpfs-{verb}.1" for verb in VERBS} | {"rumpfs.3"} <= set(PAGES)


def test_every_page_can_be_found_from_that_of_rumpfs() -> None:
    names = {name: target for name, target in PAGES.items() if not name.startswith("verb")}
    same = {name: {other for other in names if names[other] == names[name]} for name in names}
    found: set[str] = set()
    new = {"rumpfs.1"}
    while new:
        found |= {other for name in new for other in same[name]}
        new = {
            f"{name}.{number}"
            for page in found
            for name, number in REFERENCE.findall(names[page])
            if f"{name}.{number}" in names
        } - found
    assert found == set(names)


def test_no_page_sends_readers_to_one_that_is_not_there() -> None:
    ours = re.compile(r"rump|u?mount\.(fuse\.)?rumpfs")
    missing = {
        (page, f"{name}.{number}")
        for page, text in PAGES.items()
        for name, number in REFERENCE.findall(text)
        if ours.match(name) and f"{name}.{number}" not in PAGES
    }
    assert missing == set()


def test_pages_are_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://reproducible-builds.org/specs/source-date-epoch/"""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "981173106")
    assert {text.splitlines()[0] for _, text in pages(SOURCES)} == {".Dd February 3, 2001"}


def test_the_program_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["manual"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("usage: ")


# --- mandoc -----------------------------------------------------------------------------------------------


@pytest.mark.oracle("mandoc")
def test_mandoc_has_nothing_to_say(directory: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *sorted(directory.glob("man?/*"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_what_a_reader_looks_for(name: str, directory: Path) -> None:
    path = directory / f"man{name[-1]}" / name
    done = subprocess.run(["mandoc", "-T", "utf8", path], capture_output=True, text=True, check=True)
    text = re.sub(".\b", "", done.stdout)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"]
    if name.endswith(".3"):
        wanted.remove("EXIT STATUS")
    titles = re.findall(r"^[A-Z][A-Z ]+$", text, re.MULTILINE)
    assert [title for title in titles if title in wanted] == wanted
    assert name.rpartition(".")[0] in section(text, "NAME")
    assert not re.search(r"@[a-z ]+@", text)


# --- the same as --help -----------------------------------------------------------------------------------


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("name", PARSERS)
def test_the_usage_is_that_of_help(name: str, shown: dict[str, str]) -> None:
    usage = PARSERS[name].format_usage().removeprefix("usage: ").replace(" [=", "[=")
    usage = re.sub(r"(\S+) \[\1 \.\.\.\]", r"\1 ...", plain(usage))
    assert plain(section(shown[name], "SYNOPSIS")).endswith(usage)


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("name", [*PARSERS, *GETOPT])
def test_the_options_are_those_of_the_command(name: str, shown: dict[str, str]) -> None:
    assert listed(shown[name]) == (names_of(PARSERS[name]) if name in PARSERS else GETOPT[name])


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("name", PARSERS)
def test_what_an_option_does_is_said_in_the_same_words(name: str, shown: dict[str, str]) -> None:
    text = plain(shown[name])
    for action in PARSERS[name]._actions:
        assert plain(action.help or "").replace("%%", "%") in text


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("verb", VERBS)
def test_no_word_of_help_is_lost(verb: str, shown: dict[str, str]) -> None:
    text = verb_parser(verb).format_help().partition("\n\n")[2]
    titles = {"positional", "arguments:", "options:", "examples:", "Exit", "status:"}
    said = {word.lower() for word in text.split() if word not in titles and word != "..."}
    page = plain(shown[f"rumpfs-{verb}.1"]).lower()
    assert {word for word in said if word.rstrip(":") not in page} == set()


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_are_those_of_the_verb(verb: str, shown: dict[str, str]) -> None:
    text = plain(section(shown[f"rumpfs-{verb}.1"], "EXAMPLES"))
    examples = parse_help(verb_parser(verb).format_help()).items("examples")
    assert examples
    for example in examples:
        assert plain(f"{example.term} {example.text}") in text


@pytest.mark.oracle("mandoc")
def test_tables_are_whole(shown: dict[str, str]) -> None:
    assert all(f"rumpfs-{verb}(1) {summary}" in plain(shown["rumpfs.1"]) for verb, summary in VERBS.items())
    assert plain(JSON) in plain(shown["rumpfs.1"])
    for page in ("rump_ffs.8", "rump_tmpfs.8"):
        for name, option in OPTIONS.items():
            assert f" {name}{'=' if option.value else ''} {plain(option.help)}" in plain(shown[page])
    assert all(re.search(rf"\b{word}[,.]", shown["rump_ffs.8"]) for word in IGNORED)


@pytest.mark.oracle("mandoc")
@pytest.mark.parametrize("kind", [Image, ImagePath, Client])
def test_all_that_programs_can_call_is_there(kind: type, shown: dict[str, str]) -> None:
    page = plain(shown["rumpfs.3"])
    for name in vars(kind):
        if not name.startswith("_") and (
            callable(getattr(kind, name)) or isinstance(vars(kind)[name], property)
        ):
            assert re.search(rf" {name}(\(| )", page)


@pytest.mark.oracle("fsspec.spec")
def test_the_examples_for_images_in_python_run(tmp_path: Path) -> None:
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    (tmp_path / "tree" / "etc" / "rc.conf").write_text("hostname=puffy\n")
    Inside(tmp_path).ok("makefs", "--disklabel", "disk.img", "tree")
    text = (SOURCES / "rumpfs.3").read_text()
    blocks = re.findall(r"^\.Bd.*\n((?:[^.].*\n|\n)+)", text, re.MULTILINE)
    program = "".join(block for block in blocks if "disk.img" in block)
    assert program.count("disk.img") == 3
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "hostname=puffy\n\n15 /etc/rc.conf\nhostname=puffy\n\n"


@pytest.mark.parametrize("name", ["rump_server.1", "rump_ffs.8", "mount.rumpfs.8"])
def test_what_is_written_by_hand_names_no_option_that_is_not_there(name: str) -> None:
    named = {f"-{word}" for word in re.findall(r"^\.Fl (\S+)", (SOURCES / name).read_text(), re.MULTILINE)}
    alias = {"mount.rumpfs.8": "rumpfs-mount.8"}.get(name, name)
    assert named
    assert named <= (names_of(PARSERS[alias]) if alias in PARSERS else GETOPT[name])


@pytest.mark.oracle("mandoc")
def test_halt(shown: dict[str, str]) -> None:
    help_text = parse_help(rump_halt.HELP)
    assert plain(section(shown["rump.halt.1"], "SYNOPSIS")) == help_text.usage
    assert "0 when the kernel has halted" in section(shown["rump.halt.1"], "EXIT STATUS")


# --- the layout of help -----------------------------------------------------------------------------------

HELP = """\
usage: thing [-a] [-b WORD]
             FILE

Do something
with care.

options:
  -a        first
  -b WORD   second, which is
            longer
  --long-option WORD
            third

examples:
  thing a  b  c     with blanks
  thing -a
  thing -b x
                    on the next line

A last word. Exit status: 0, or not.
"""


def test_a_help_is_taken_apart() -> None:
    found = parse_help(HELP)
    assert found.usage == "thing [-a] [-b WORD] FILE"
    assert found.paragraphs("") == ["Do something with care.", "A last word."]
    assert found.items("options") == [
        Item("-a", "first"),
        Item("-b WORD", "second, which is longer"),
        Item("--long-option WORD", "third"),
    ]
    assert found.items("examples") == [
        Item("thing a  b  c", "with blanks"),
        Item("thing -a", ""),
        Item("thing -b x", "on the next line"),
    ]
    assert found.paragraphs("Exit status") == ["0, or not."]
