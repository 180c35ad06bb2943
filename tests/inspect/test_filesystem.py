"""ffs:// for fsspec: what its helpers do with an image, compared with the tree it was made of."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.images_util import makefs, netbsd_image, netbsd_images
from tests.webserver import Web, serving

fsspec = pytest.importorskip("fsspec")

CSV = b"name,size\n" + b"".join(b"file%d,%d\n" % (number, number * 7) for number in range(20_000))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUMPFS_CACHE", str(tmp_path_factory.getbasetemp() / "kept"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("fsspec") / "tree"
    (top / "etc" / "deep" / "er").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "etc" / "passwd").write_text("root:*:0:0::/root:/bin/sh\n")
    (top / "etc" / "deep" / "table.csv").write_bytes(CSV)
    (top / "etc" / "deep" / "er" / "b.csv").write_bytes(CSV[:100])
    (top / "etc" / "link").symlink_to("deep/table.csv")
    (top / "etc" / "loop").symlink_to("..")
    (top / "etc" / "nowhere").symlink_to("no/such/file")
    os.utime(top / "etc" / "passwd", (1_000_000_000, 1_234_567_890))
    return top


@pytest.fixture(scope="module")
def image(tree: Path) -> Path:
    return makefs(tree, tree.parent / "disk.img", 2, "<", 8192, 1024)


@pytest.fixture
def fs(image: Path) -> Any:
    return fsspec.filesystem("ffs", fo=str(image))


def _below(tree: Path, kind: Any) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if kind(path))


def test_find_and_walk_know_the_tree(fs: Any, tree: Path) -> None:
    files = _below(tree, lambda path: not path.is_dir() or path.is_symlink())
    directories = _below(tree, lambda path: path.is_dir() and not path.is_symlink())
    assert fs.find("") == files
    assert fs.find("", withdirs=True) == sorted(files + directories)
    walked = [f"{top}/{name}".strip("/") for top, _, names in fs.walk("") for name in names]
    assert sorted(walked) == files
    assert fs.find("/etc/deep") == [name for name in files if name.startswith("etc/deep/")]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_find_is_that_of_the_local_file_system(fs: Any, tree: Path, depth: int) -> None:
    local = fsspec.filesystem("file")
    for top in ("etc", "etc/deep"):
        there = local.find(f"{tree}/{top}", maxdepth=depth, withdirs=True)
        expected = {os.path.relpath(path, tree) for path in there}
        links = {"etc/loop"}  # the local one follows links to directories
        assert {*fs.find(top, maxdepth=depth, withdirs=True)} - links == expected - {
            path for path in expected if path.startswith("etc/loop")
        }


def test_info_is_what_the_host_says(fs: Any, tree: Path) -> None:
    info, st = fs.info("/etc/passwd"), (tree / "etc" / "passwd").stat()
    assert (info["name"], info["type"], info["size"]) == ("etc/passwd", "file", st.st_size)
    assert (info["mode"], info["mtime"], info["nlink"]) == (st.st_mode, st.st_mtime, 1)
    assert fs.modified("etc/passwd").timestamp() == 1_234_567_890
    assert fs.created("etc/passwd").timestamp() > 0
    assert fs.info("")["type"] == fs.info("empty")["type"] == "directory"
    assert fs.ls("", detail=False) == ["empty", "etc"]
    assert {each["name"]: each["type"] for each in fs.ls("etc")} == {
        "etc/deep": "directory", "etc/link": "file", "etc/loop": "link", "etc/nowhere": "link",
        "etc/passwd": "file",
    }  # fmt: skip
    assert fs.info("etc/link")["size"] == len(CSV)
    assert (fs.exists("etc/no"), fs.isdir("etc"), fs.isfile("etc/link")) == (False, True, True)


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (5, None), (None, 5), (10, 20), (-7, None), (3, -3), (9, 5), (0, 1 << 40)],
)
def test_cat_file_takes_slices(fs: Any, start: int | None, end: int | None) -> None:
    assert fs.cat_file("etc/deep/table.csv", start, end) == CSV[start:end]


def test_cat_ranges_and_cat(fs: Any) -> None:
    assert fs.cat_ranges(["etc/link", "etc/no"], [0, 0], [9, 9])[0] == CSV[:9]
    assert isinstance(fs.cat_ranges(["etc/no"], [0], [9])[0], FileNotFoundError)
    assert fs.cat("etc/deep/**/*.csv") == {"etc/deep/er/b.csv": CSV[:100], "etc/deep/table.csv": CSV}
    assert fs.head("etc/link", 4) == CSV[:4]


def test_chained_urls_and_globs(image: Path) -> None:
    with fsspec.open(f"ffs://etc/deep/table.csv::file://{image}") as file:
        assert file.read() == CSV
    with fsspec.open(f"ffs:///etc/passwd::{image}", "rt") as file:
        assert file.read() == "root:*:0:0::/root:/bin/sh\n"
    files = fsspec.open_files(f"ufs://etc/deep/**/*.csv::file://{image}")
    assert [each.path for each in files] == ["etc/deep/er/b.csv", "etc/deep/table.csv"]
    with files as opened:
        assert [each.read() for each in opened] == [CSV[:100], CSV]
    mapper = fsspec.get_mapper(f"ffs://etc/deep::file://{image}")
    assert sorted(mapper) == ["er/b.csv", "table.csv"]
    assert mapper["table.csv"] == CSV


@pytest.fixture
def web(tree: Path, image: Path) -> Iterator[Web]:
    pytest.importorskip("aiohttp")
    with serving(image.parent) as found:
        yield found


def test_an_image_elsewhere(web: Web) -> None:
    with fsspec.open(f"ffs://etc/deep/table.csv::{web.url}/disk.img", "rb") as file:
        assert file.read(100) == CSV[:100]
        file.seek(-10, os.SEEK_END)
        assert file.read() == CSV[-10:]


def test_it_is_pickled_and_has_a_token(image: Path, fs: Any) -> None:
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat_file("etc/link") == CSV
    assert again.__dask_tokenize__() == fs.__dask_tokenize__()
    opened = pickle.loads(pickle.dumps(fsspec.open(f"ffs://etc/link::file://{image}")))
    with opened as file:
        assert file.read() == CSV
    st = image.stat()
    os.utime(image, ns=(st.st_atime_ns, st.st_mtime_ns + 10**9))
    try:
        changed = fsspec.filesystem("ffs", fo=str(image))
        assert changed.__dask_tokenize__() != fs.__dask_tokenize__()
        assert changed.ukey("etc/link") != fs.ukey("etc/link")
    finally:
        os.utime(image, ns=(st.st_atime_ns, st.st_mtime_ns))


def test_an_open_file_is_an_image_too(image: Path) -> None:
    with image.open("rb") as file:
        assert fsspec.filesystem("ffs", fo=file).cat_file("etc/link") == CSV


def test_threads_read_at_the_same_time(fs: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        slices = [(at, at + 997) for at in range(0, len(CSV), 997)]
        pieces = pool.map(lambda each: fs.cat_file("etc/link", *each), slices)
        assert b"".join(pieces) == CSV


@pytest.mark.parametrize("name", [name for name in netbsd_images() if name == "disklabel-le"])
def test_partitions(name: str) -> None:
    image = netbsd_image(name)
    by_address = fsspec.filesystem("ffs", fo=f"{image}:a")
    assert by_address.ls("") == fsspec.filesystem("ffs", fo=str(image), part="a").ls("")
    with pytest.raises(ValueError, match="names partition a"):
        fsspec.filesystem("ffs", fo=f"{image}:a", part="e")


def test_errors_are_those_of_files(fs: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fs.open("etc/no")
    with pytest.raises(IsADirectoryError):
        fs.open("etc")
    with pytest.raises(OSError, match="images are read"):
        fs.open("etc/new", "wb")
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("ffs", fo=str(tmp_path / "no.img"))
    (tmp_path / "zeros.img").write_bytes(bytes(100_000))
    with pytest.raises(OSError, match=r"zeros\.img"):
        fsspec.filesystem("ffs", fo=str(tmp_path / "zeros.img"))
