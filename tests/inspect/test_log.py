"""The transactions of logs that a NetBSD kernel wrote, compared with their manifests."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from rumpfs.base.errors import BadMagic
from rumpfs.inspect.log import Log, Reader
from rumpfs.inspect.names import Names
from rumpfs.inspect.owners import Kind, Owners
from rumpfs.inspect.remains import Remains
from rumpfs.ondisk.ufs.dinode import IFBLK, IFCHR, IFDIR, IFIFO, IFLNK, IFMT, IFREG
from tests.images_util import manifest, netbsd_image, netbsd_images
from tests.inspect.studies import studied

DIRTY = [name for name in netbsd_images() if name.startswith(("wapbl-dirty", "wapbl-end-dirty"))]
#: one of each kind, in the formats in turn
SOME = [
    name for name in DIRTY
    if name.endswith(("multi-v2le", "wrap-v1be", "lost-v2be", "revoke-v1le", "timer-v2le", "dirty-swapped"))
]  # fmt: skip
#: as manifests call them
TYPES = {IFREG: "file", IFDIR: "dir", IFLNK: "symlink", IFIFO: "fifo", IFCHR: "chr", IFBLK: "blk"}
CLEAN = [name for name in netbsd_images() if name.startswith(("wapbl-clean", "wapbl-end-clean"))]


@pytest.mark.parametrize("name", DIRTY)
def test_the_live_part_is_what_the_manifest_counts(name: str) -> None:
    facts = manifest(name)["wapbl"]
    with studied(netbsd_image(name)) as raw:
        log = Log(raw)
    live = [each for each in log.transactions if each.live]
    records = Counter(record.name for each in live for record in each.records)
    assert dict(records) == facts["records"]
    assert (log.live, log.in_use, log.damage) == (facts["bytes"], True, "")
    assert sum(each.length for each in live) == facts["bytes"]
    assert log.header.wc_generation == facts["header"]["generation"]
    assert live[0].offset == facts["header"]["tail"]
    assert all(each.complete for each in live)
    assert live[-1].generation == facts["header"]["generation"]


@pytest.mark.parametrize("name", SOME)
def test_names_that_the_live_part_has_put_are_in_the_tree(name: str) -> None:
    """What the last transaction says of a name is so in the tree that the kernel found after replay."""
    tree = {os.fsencode(entry["path"]): entry["ino"] for entry in manifest(name)["entries"]}
    last: dict[tuple[int, bytes], tuple[int, str]] = {}
    with studied(netbsd_image(name)) as raw:
        log = Log(raw)
        reader = Reader(raw, log, Owners(raw))
        for transaction in log.transactions:
            for touch in reader.read(transaction):
                for change in touch.names:
                    last[change.directory, change.name] = change.ino, change.change
        names = Names(raw)
        checked = 0
        for (directory, called), (ino, change) in last.items():
            path = names.path(directory)
            if path is not None:
                whole = path.rstrip(b"/") + b"/" + called
                assert (tree.get(whole) == ino) == (change == "added"), (whole, change)
                checked += 1
    assert checked


@pytest.mark.parametrize("name", SOME)
def test_blocks_are_what_they_are(name: str) -> None:
    with studied(netbsd_image(name)) as raw:
        log = Log(raw)
        reader = Reader(raw, log, Owners(raw))
        kinds = Counter(touch.kind for each in log.transactions for touch in reader.read(each) if each.live)
    assert min(kinds[kind] for kind in (Kind.SUPERBLOCK, Kind.GROUP, Kind.INODES, Kind.DIRECTORY)) > 0


@pytest.mark.parametrize("name", SOME)
def test_inodes_without_a_name_are_those_that_were_open(name: str) -> None:
    with studied(netbsd_image(name)) as raw:
        last = [each for each in Log(raw).transactions if each.live][-1]
        listed = {ino for ino, _ in last.inodes}
        names = Names(raw)
        assert not [ino for ino in listed if ino in names]
    assert listed


@pytest.mark.parametrize("name", CLEAN)
def test_old_transactions_can_still_be_read(name: str) -> None:
    with studied(netbsd_image(name)) as raw:
        log = Log(raw)
    assert (log.in_use, log.live) == (False, 0)
    assert [each.live for each in log.transactions] == [False] * len(log.transactions) != []
    times = [each.time for each in log.transactions if each.time is not None]
    assert times == sorted(times)


@pytest.mark.parametrize("name", CLEAN)
def test_what_no_record_lists_is_found_by_itself(name: str) -> None:
    """Copies of inodes get the numbers that the manifest has for files of their type and size."""
    facts = manifest(name)
    types = {entry["ino"]: entry["type"] for entry in facts["entries"]}
    deleted = {entry["ino"]: entry["size"] for entry in facts["deleted"]}
    with studied(netbsd_image(name)) as raw:
        log = Log(raw)
        remains = Remains(raw, log.position.blksize, log.remains())
        now = {ino: di.di_gen for ino, di in raw.inodes()}
    used = list(remains.used())
    assert {ino for ino, data in remains.directories if ino} & {
        ino for ino, kind in types.items() if kind == "dir"
    }
    same = [(ino, di) for ino, di in used if now.get(ino) == di.di_gen and ino in types]
    assert same
    assert all(TYPES[di.di_mode & IFMT] == types[ino] for ino, di in same)
    assert {ino for ino, di in used if deleted.get(ino) == di.di_size}


def test_a_file_system_without_a_log_says_so() -> None:
    names = [name for name in netbsd_images() if name.startswith("clean-v2")]
    if not names:
        pytest.skip("../shared/images has no images of NetBSD")
    with studied(netbsd_image(names[0])) as raw, pytest.raises(BadMagic, match="no log"):
        Log(raw)
