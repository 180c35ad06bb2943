"""rumpfs find, tree and du; the host's find(1) and du(1) say what is right."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.cli.verbs import Shell


@pytest.fixture
def both(shell: Shell, kernel: Client) -> Path:
    """A tree on the host, and the same one at :/t/top."""
    top = shell.cwd / "top"
    for name in ("", "a", "a/b", "a/b/empty", ".hidden"):
        (top / name).mkdir()
    for name, size in (
        ("one", 1),
        ("a/two.C", 511),
        ("a/b/three.c", 513),
        ("a/b/4", 5000),
        (".hidden/none", 0),
    ):
        (top / name).write_bytes(b"x" * size)
        (top / name).chmod(0o640)
    (top / "a/b/4").chmod(0o4755)
    os.link(top / "a/b/4", top / "again")
    (top / "a/link").symlink_to("b")
    os.mkfifo(top / "a/fifo")
    os.utime(top / "one", (0, 0))
    shell.ok("cp", "-r", "-p", "top", ":/t")
    kernel.unlink("/t/top/again")
    kernel.link("/t/top/a/b/4", "/t/top/again")
    kernel.utimens("/t/top/one", (0, 0))
    return top


EXPRESSIONS = [
    "", "-name *.c", "-iname *.c", "-path */b/*", "-type f", "-type d", "-type l", "-type p",
    "-type f -size 1", "-type f -size +1", "-type f -size -2", "-type f -size +510c", "-type f -size 1k",
    "-perm 640", "-perm -4000", "-perm /022 -not -type l", "-empty",
    "-links 2", "-links +2", "-mtime +1000", "-mtime -1", "-maxdepth 1", "-mindepth 2", "-depth",
    "-type f -size +1", "-name one -o -name *.c", "-not -type d", "-not -name *.c -type f -o -empty",
    "-name none -o -type f -perm 4755", "-xdev", "-maxdepth 2 -mindepth 2 -type d",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_find_finds_what_the_hosts_does(shell: Shell, both: Path, expression: str) -> None:
    words = expression.split()
    options = [word for word in ("-maxdepth", "-mindepth", "-xdev", "-depth") if word in words]
    first: list[str] = []  # where GNU's find wants them
    for option in options:
        at = words.index(option)
        count = 2 if option.endswith("h") and option != "-depth" else 1
        first += words[at : at + count]
        del words[at : at + count]
    tests = ["(", *words, ")"] if words else []
    host = subprocess.run(
        ["find", "top", *first, *tests], cwd=both.parent, capture_output=True, check=True, text=True
    )
    done = shell.ok("find", ":/t/top", *expression.split())
    assert sorted(done.lines) == sorted(f":/t/{line}" for line in host.stdout.splitlines())


def test_directories_come_first_or_with_depth_last(shell: Shell, both: Path) -> None:
    assert shell.ok("find", ":/t/top/a/b").lines == [
        ":/t/top/a/b", ":/t/top/a/b/4", ":/t/top/a/b/empty", ":/t/top/a/b/three.c",
    ]  # fmt: skip
    assert shell.ok("find", ":/t/top/a/b", "-depth").lines[-1] == ":/t/top/a/b"


def test_find_for_programs(shell: Shell, kernel: Client, both: Path) -> None:
    kernel.mkdir(b"/t/top/a\nb")
    done = shell.ok("find", ":/t/top", "-name", "a*", "-type", "d", "-print0")
    assert done.out == b":/t/top/a\0:/t/top/a\nb\0"
    entries = shell.ok("find", ":/t/top", "-perm", "-4000", "--json").json["entries"]
    assert [(entry["path"], entry["nlink"]) for entry in entries] == [
        ("/t/top/a/b/4", 2),
        ("/t/top/again", 2),
    ]
    assert shell.ok("find", ":/t/top", "-type", "l", "-ls").lines[0].endswith(":/t/top/a/link -> b")


@pytest.mark.parametrize(
    "words",
    [
        ["-o"],
        ["-name", "x", "-o"],
        ["-not"],
        ["-type", "q"],
        ["-size", "1q"],
        ["-perm", "9"],
        ["-mtime", "soon"],
    ],
)
def test_a_wrong_expression(shell: Shell, words: list[str]) -> None:
    done = shell.run("find", ":/t", *words)
    assert done.status == 2
    assert done.err.startswith("rumpfs find: ")


@pytest.mark.parametrize("words", [[], ["-a"], ["-s"], ["-d", "1"], ["-d", "0"], ["-a", "-d", "2"]])
def test_du_adds_up_as_the_hosts_does(shell: Shell, both: Path, words: list[str]) -> None:
    """Apparent sizes: the two file systems have blocks of different sizes; directories are left out."""
    host = [{"-d": "-d", "-s": "-s", "-a": "-a"}.get(word, word) for word in words]
    command = ["du", "--apparent-size", "--block-size=1", *host, "top"]
    done = subprocess.run(command, cwd=both.parent, capture_output=True, check=True, text=True)
    wanted = dict(line.split("\t")[::-1] for line in done.stdout.splitlines())
    found = {
        entry["path"].removeprefix("/t/"): entry["bytes"]
        for entry in shell.ok("du", "-A", "--json", *words, ":/t/top").json["usage"]
    }
    assert found.keys() == wanted.keys() or {"top/again", "top/a/b/4"} >= found.keys() ^ wanted.keys()

    def own(tree: Path) -> int:
        return sum(
            path.lstat().st_size
            for path in [tree, *tree.rglob("*")]
            if path.is_dir() and not path.is_symlink()
        )

    def remote(path: str) -> int:
        lines = shell.ok("find", f":/t/{path}", "-type", "d", "--json").json["entries"]
        return sum(entry["size"] for entry in lines)

    assert found["top"] - remote("top") == int(wanted["top"]) - own(both)


def test_a_file_with_two_links_counts_once(shell: Shell, kernel: Client) -> None:
    with kernel.open("/t/one", "wb") as file:
        file.write(bytes(100_000))
    kernel.link("/t/one", "/t/two")
    usage = shell.ok("du", "-a", "--json", ":/t").json["usage"]
    blocks = kernel.stat("/t/one").st_blocks * 512
    assert sorted(entry["bytes"] for entry in usage if entry["path"] != "/t") == [0, blocks]


def test_the_sum_of_all(shell: Shell, both: Path) -> None:
    lines = shell.ok("du", "-s", "-c", ":/t/top/a", ":/t/top/.hidden").lines
    assert lines[-1].endswith("\ttotal")
    document = shell.ok("du", "-s", "--json", ":/t/top/a", ":/t/top/.hidden").json
    assert document["total_bytes"] == sum(entry["bytes"] for entry in document["usage"])


def test_a_tree_is_drawn(shell: Shell, both: Path) -> None:
    """The lines of tree(1)."""
    assert shell.ok("tree", ":/t/top").lines == [
        ":/t/top",
        "├── a",
        "│   ├── b",
        "│   │   ├── 4",
        "│   │   ├── empty",
        "│   │   └── three.c",
        "│   ├── fifo",
        "│   ├── link -> b",
        "│   └── two.C",
        "├── again",
        "└── one",
        "",
        "3 directories, 7 files",
    ]
    assert shell.ok("tree", "-a", "-d", "-L", "1", ":/t/top").lines == [
        ":/t/top", "├── .hidden", "└── a", "", "2 directories",
    ]  # fmt: skip


def test_a_tree_for_programs(shell: Shell, both: Path) -> None:
    (top,) = shell.ok("tree", "--json", ":/t/top").json["trees"]
    assert [child["name"] for child in top["children"]] == ["a", "again", "one"]
    b = top["children"][0]["children"][0]
    assert (b["name"], [child["name"] for child in b["children"]]) == ("b", ["4", "empty", "three.c"])
    assert "children" not in top["children"][2]


@pytest.mark.parametrize("verb", ["find", "tree", "du"])
def test_nothing_there(shell: Shell, verb: str) -> None:
    done = shell.run(verb, ":/t/absent")
    assert (done.status, done.err) == (1, f"rumpfs {verb}: :/t/absent: No such file or directory\n")
