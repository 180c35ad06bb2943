"""rumpfs sha256 and mtree: against sha256sum(1), bsdtar(1) and the manifests of the images."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.verbs import Shell
from tests.images_util import makefs, manifest, netbsd_image, standard_tree

IMAGE = "clean-v1be-8k-1k"


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


@pytest.fixture
def image(alone: Shell, tmp_path: Path) -> str:
    standard_tree(tmp_path / "tree")
    (tmp_path / "tree/new\nline\\name").write_bytes(b"odd")
    makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024)
    return "disk.img"


@pytest.mark.oracle("sha256sum")
def test_sha256sum_agrees_with_the_manifest(alone: Shell, tmp_path: Path, image: str) -> None:
    lines = alone.ok("sha256", f"{image}:/").out
    done = subprocess.run(["sha256sum", "-c", "--quiet", "-"], cwd=tmp_path / "tree", input=lines)
    assert done.returncode == 0
    files = [path for path in (tmp_path / "tree").rglob("*") if path.is_file() and not path.is_symlink()]
    assert lines.count(b"\n") == len(files)


@pytest.mark.oracle("sha256sum")
def test_a_manifest_of_sha256sum_is_checked(alone: Shell, tmp_path: Path, image: str) -> None:
    names = subprocess.run(["find", ".", "-type", "f", "-print0"], cwd=tmp_path / "tree", capture_output=True)
    said = subprocess.run(
        ["xargs", "-0", "sha256sum"],
        cwd=tmp_path / "tree",
        input=names.stdout,
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "sums").write_bytes(said)
    assert alone.ok("sha256", "-c", "sums", image).out == b""
    shutil.copy(tmp_path / "disk.img", tmp_path / "other.img")
    (tmp_path / "x").write_bytes(b"x")
    alone.ok("cp", "x", "other.img:/f511")
    alone.ok("rm", "other.img:/f512")
    done = alone.run("sha256", "-c", "sums", "other.img")
    assert (done.status, done.lines) == (1, ["./f511: FAILED"])
    assert "/f512: No such file" in done.err
    results = json.loads(alone.run("sha256", "--json", "-c", "sums", "other.img").out)["results"]
    wrong = {each["path"]: each["result"] for each in results if each["result"] != "same"}
    assert wrong == {"./f511": "differs", "./f512": "unread"}


def test_digests_are_those_that_the_kernel_had(alone: Shell) -> None:
    digests = json.loads(alone.ok("sha256", "--json", netbsd_image(IMAGE)).out)["digests"]
    expected = {
        entry["path"][1:]: entry["sha256"] for entry in manifest(IMAGE)["entries"] if "sha256" in entry
    }
    assert {each["path"]: each["sha256"] for each in digests} == expected


def test_a_manifest_has_what_the_kernel_saw(alone: Shell) -> None:
    found = {}
    for line in alone.ok("mtree", f"{netbsd_image(IMAGE)}:/").lines[1:]:
        path, *words = line.split()
        found[path] = dict(word.split("=", 1) for word in words)
    entries = manifest(IMAGE)["entries"]
    assert len(found) == len(entries)
    for entry in entries:
        name = "".join(
            chr(byte) if 33 <= byte <= 126 and chr(byte) not in "#\\*?[=" else f"\\{byte:03o}"
            for byte in entry["path"].encode("utf-8", "surrogateescape")
        )
        facts = found["." + name.rstrip("/")]
        assert (facts["mode"], facts["uid"], facts["gid"]) == (
            entry["mode"],
            str(entry["uid"]),
            str(entry["gid"]),
        )
        assert facts["nlink"] == str(entry["nlink"])
        assert facts["time"] == f"{entry['mtime']}.{entry['mtime_nsec']:09}"
        if entry["type"] == "file":
            assert (facts["size"], facts["sha256"]) == (str(entry["size"]), entry["sha256"])


def test_makefs_takes_a_manifest_back(alone: Shell, tmp_path: Path, image: str) -> None:
    (tmp_path / "manifest").write_bytes(
        alone.ok("mtree", "-k", "type,uid,gid,mode,time,link,device", image).out
    )
    alone.ok("makefs", "-F", "manifest", "new.img", "tree")
    done = alone.run("diff", "--ignore", "nlink", image, "new.img")
    assert (done.status, done.out) == (0, b""), done


def test_wrong_manifests_and_keywords(alone: Shell, tmp_path: Path, image: str) -> None:
    (tmp_path / "text").write_text("no digest\n")
    assert "text, line 1" in alone.fails("sha256", "-c", "text", image)
    assert "none: No such file" in alone.fails("sha256", "-c", "none", image)
    assert "'colour' is none of type" in alone.fails("mtree", "-k", "colour", image, status=2)
