"""What the README and the demo show is what happens."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.meta.documents import environment, run, stopping

DOCUMENTS = [
    path for pattern in ("*.md", "[!.]*/README.md", "docs/*.md") for path in sorted(PROJECT.glob(pattern))
]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """An empty directory; servers that were started in it and still run are stopped."""
    with stopping(tmp_path):
        yield tmp_path


@pytest.mark.oracle("makefs")
def test_the_examples_of_the_readme_run(directory: Path) -> None:
    done = run(directory, (PROJECT / "README.md").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nhostname=puffy\n" in done.stdout  # rumpfs cat
    assert "b'hostname=puffy\\n'" in done.stdout  # Python
    assert (directory / "etc" / "rc.conf").read_text() == "hostname=puffy\n"
    assert (directory / "ls").read_bytes() == Path("/bin/ls").read_bytes()
    assert not (directory / "sock").exists()


@pytest.mark.slow
@pytest.mark.oracle("makefs")
def test_the_demo_ends_well_and_in_time(directory: Path) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [str(PROJECT / "docs" / "demo.sh")],
        env=environment() | {"TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "files, all equal" in done.stdout
    assert time.monotonic() - start < 20
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_files_that_documents_name_exist(document: Path) -> None:
    names = re.findall(r"`((?:rumpfs|tests|images|docs|mount_helpers|\.ci)/[\w./*-]*)", document.read_text())
    assert [name for name in names if not list(PROJECT.glob(name.rstrip("/")))] == []


def test_the_targets_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    scripts = [PROJECT / ".ci" / "run", PROJECT / ".ci" / "setup", PROJECT / "tests" / "conftest.py"]
    named = {
        target
        for path in [*DOCUMENTS, *scripts]
        for target in re.findall(
            r"(?:`|^)make (?:--no-print-directory )?([a-z-]+)", path.read_text(), re.MULTILINE
        )
    }
    assert {"demo", "test", "setup", "lint", "bench", "help"} <= named
    assert named <= targets


def test_make_help_names_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert sorted(listed) == sorted(phony[1].split())


def test_changes_have_a_section_for_what_is_not_released() -> None:
    headings = re.findall(r"^## (.*)$", (PROJECT / "CHANGES.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
