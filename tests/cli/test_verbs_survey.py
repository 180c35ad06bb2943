"""rumpfs survey, compared with the tree that an image was made of; and addresses of images elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.verbs import Shell
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, standard_tree
from tests.webserver import Web, serving


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    shell = Shell(None, tmp_path)
    shell.environ["RUMPFS_CACHE"] = str(tmp_path / "cache")
    return shell


@pytest.fixture
def image(tmp_path: Path) -> Path:
    standard_tree(tmp_path / "tree")
    return makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024)


def _documents(lines: list[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    assert {document["schema_version"] for document in found} == {1}
    return found


def test_a_survey_knows_the_tree(alone: Shell, image: Path) -> None:
    [found] = _documents(alone.ok("survey", "--sha256", "disk.img").lines)
    assert (found["image"], found["size"], found["error"]) == ("disk.img", image.stat().st_size, None)
    assert found["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    [fs] = found["filesystems"]
    tree = list((image.parent / "tree").rglob("*"))
    files = [path for path in tree if path.is_file() and not path.is_symlink()]
    assert fs["types"]["file"] == len(files)
    assert fs["types"]["dir"] == 1 + sum(path.is_dir() and not path.is_symlink() for path in tree)
    assert fs["types"]["symlink"] == sum(path.is_symlink() for path in tree)
    assert fs["bytes"] == sum(path.stat().st_size for path in files)
    times = [path.lstat().st_mtime_ns for path in tree]
    assert (fs["oldest_ns"], fs["newest_ns"]) == (min(times), max(times))
    assert (fs["setuid"], fs["setuid_count"], fs["errors"]) == (["/suid"], 1, [])


def test_deleted_files_are_counted(alone: Shell, image: Path) -> None:
    [before] = _documents(alone.ok("survey", "disk.img").lines)[0]["filesystems"]
    assert (before["deleted_names"], before["deleted_inodes"]) == (0, 0)
    shell = "put disk.img a; put disk.img b; put disk.img c; ln b d; mv c e; rm d; rm a"
    (image.parent / "small").write_bytes(b"x")
    alone.ok("sh", "-w", "-c", shell.replace("disk.img", "small"), "disk.img:/level0")
    [after] = _documents(alone.ok("survey", "disk.img").lines)[0]["filesystems"]
    assert (after["deleted_names"], after["deleted_inodes"]) == (3, 1), "a, c (now e) and d; a alone is free"


@pytest.mark.parametrize("name", [name for name in netbsd_images() if name.startswith("clean-v")])
def test_all_that_a_kernel_deleted_last_is_counted(alone: Shell, name: str) -> None:
    listed = manifest(name)["deleted"]
    [fs] = _documents(alone.ok("survey", str(netbsd_image(name))).lines)[0]["filesystems"]
    # The first name of a chunk loses its inode, and is left as well.
    assert fs["deleted_names"] >= len(listed)
    assert fs["deleted_inodes"] >= len({entry["ino"] for entry in listed if entry["nlink_before"] == 1})


@pytest.mark.parametrize("name", [name for name in netbsd_images() if name == "mbr-disklabel"])
def test_every_partition_is_looked_at(alone: Shell, name: str) -> None:
    [found] = _documents(alone.ok("survey", str(netbsd_image(name))).lines)
    assert [fs["part"] for fs in found["filesystems"]] == ["s1a", "s1e"]
    assert [table["kind"] for table in found["tables"]] == ["MBR"]
    assert "partitions" in manifest(name)


def test_broken_images_are_lines_of_their_own(alone: Shell, image: Path) -> None:
    (image.parent / "cut.img.gz").write_bytes(gzip.compress(image.read_bytes())[:5000])
    cut = image.read_bytes()[: 1 << 20]
    (image.parent / "short.img").write_bytes(cut)
    names = ["cut.img.gz", "disk.img", "missing.img", "short.img", "nosuch://x/y"]
    done = alone.run("survey", "--ordered", "-j", "3", *names)
    found = _documents(done.lines)
    assert done.status == 1
    assert [document["image"] for document in found] == names
    assert [document["error"] is None for document in found] == [False, True, False, True, False]
    assert "at or before byte" in found[0]["error"]
    assert found[2]["error"] == "missing.img: No such file or directory"
    [fs] = found[3]["filesystems"]
    assert fs["error"] is not None or fs["errors_count"] > 0
    unordered = _documents(alone.run("survey", *names).lines)
    assert sorted(document["image"] for document in unordered) == sorted(names)


def test_an_image_that_hangs_is_given_up(alone: Shell, image: Path) -> None:
    pytest.importorskip("aiohttp")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/disk.img"
        done = alone.run("survey", "--ordered", "--timeout", "2", "-j", "2", url, "disk.img")
    first, second = _documents(done.lines)
    assert done.status == 1
    assert first["error"] == f"{url}: given up after 2 seconds"
    assert second["error"] is None


def test_a_cluster_is_named_and_needs_its_package(alone: Shell, image: Path) -> None:
    try:
        from distributed import LocalCluster
    except ImportError:
        done = alone.run("survey", "--dask", "tcp://127.0.0.1:1", "disk.img")
        assert done.status == 1
        assert "pip install rumpfs[dask]" in done.err
        return
    with LocalCluster(n_workers=1, dashboard_address=None) as cluster:
        path = str(image)
        found = _documents(alone.ok("survey", "--dask", cluster.scheduler_address, path).lines)
    assert found == _documents(alone.ok("survey", path).lines)


# --- images elsewhere -------------------------------------------------------------------------------------


@pytest.fixture
def web(image: Path) -> Iterator[Web]:
    pytest.importorskip("aiohttp")
    pytest.importorskip("fsspec")
    directory = image.parent / "web"
    directory.mkdir()
    (directory / "disk.img").write_bytes(bytes(1 << 20) + image.read_bytes())
    (directory / "disk.img.gz").write_bytes(gzip.compress(image.read_bytes()))
    with serving(directory) as found:
        yield found


def test_verbs_read_images_elsewhere(alone: Shell, image: Path, web: Web) -> None:
    tree = image.parent / "tree"
    for address in (f"{web.url}/disk.img@1m", f"{web.url}/disk.img.gz"):
        assert alone.ok("ls", f"{address}:/level0").lines == sorted(
            path.name for path in (tree / "level0").iterdir()
        )
        assert alone.ok("cat", f"{address}:/big").out == (tree / "big").read_bytes()
    asked = len(web.requests)
    assert alone.ok("cat", f"{web.url}/disk.img@1m:/big").out == (tree / "big").read_bytes()
    assert all(method == "HEAD" for method, _, _ in web.requests[asked:])
    refused = alone.run("rm", f"{web.url}/disk.img@1m:/big")
    assert (refused.status, "can only be read" in refused.err) == (1, True)
    missing = alone.run("ls", f"{web.url}/no.img:/")
    assert (missing.status, f"{web.url}/no.img" in missing.err) == (1, True)
