"""To whom blocks belong, compared with sleuthkit's istat, ifind and blkstat, and with fsck's own count."""

from __future__ import annotations

import pickle
import re
import subprocess
from pathlib import Path

import pytest

from rumpfs.inspect.names import Names, lookup
from rumpfs.inspect.owners import Kind, Owners
from tests.images_util import makefs, netbsd_image, netbsd_images, standard_tree
from tests.inspect.studies import studied

#: one of each format
CLEAN = [name for name in netbsd_images() if re.fullmatch(r"clean-v(0le-8k-1k|1be-16k-2k|2le-4k-512)", name)]
MARKED = re.compile(r"(?:Direct|Indirect) Blocks:\n([\d \n]*)")


@pytest.fixture(scope="module", params=["<", ">"], ids=["le", "be"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("owners")
    tree = standard_tree(directory / "tree")
    return makefs(tree, directory / "image", 1, request.param, 8192, 1024)  # sleuthkit finds no v2 of makefs


def _tsk(*words: object) -> str:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=True).stdout


@pytest.mark.oracle("istat")
def test_an_inode_has_the_blocks_that_istat_names(image: Path) -> None:
    with studied(image) as raw:
        owners = Owners(raw)
        for path in (b"/", b"/big", b"/sparse", b"/many", b"/f8193", b"/f1", b"/empty", b"/link500", b"/one"):
            ino = lookup(raw, path)
            said = {
                int(word)
                for lists in MARKED.findall(_tsk("istat", image, ino))
                for word in lists.split()
                if int(word)
            }
            mine = {frag for owner in owners.of(ino) for frag in range(owner.frag, owner.end)}
            if path == b"/link500":  # sleuthkit shows pointers only of what it takes for a file
                said = said or mine
            assert said <= mine, path
            assert len(mine - said) < raw.fs.fs_frag, (
                path
            )  # it counts frags by the length, also behind the 12th
            di = raw.inode(ino)
            assert di is not None
            assert len(mine) * raw.fs.fs_fsize == di.di_blocks * 512, path


@pytest.mark.oracle("ifind")
def test_a_block_belongs_to_whom_ifind_says(image: Path) -> None:
    with studied(image) as raw:
        owners = Owners(raw)
        for frag in (*range(911, raw.frags, 911), lookup_block(owners, Kind.DIRECTORY)):
            found = owners.at(frag)
            said = _tsk("ifind", "-d", frag, image).strip()
            ino = found[0].ino if found and found[0].kind != Kind.INDIRECT else 0
            if ino:
                assert said == str(ino), frag
            elif not found:
                assert said == "Inode not found", frag


def lookup_block(owners: Owners, kind: Kind) -> int:
    """Return the first frag of a kind."""
    return next(owner.frag for owner in owners.runs() if owner.kind == kind)


@pytest.mark.oracle("blkstat")
def test_what_is_in_use_is_what_blkstat_says(image: Path) -> None:
    with studied(image) as raw:
        owners = Owners(raw)
        for frag in range(1511, raw.frags, 1511):
            said = _tsk("blkstat", image, frag)
            assert ("Not Allocated" in said) == owners.is_free(frag)
            assert f"Group: {frag // raw.fs.fs_fpg}\n" in said


@pytest.mark.parametrize("name", CLEAN)
def test_in_a_sound_file_system_nothing_is_lost_and_nothing_has_two_owners(name: str) -> None:
    with studied(netbsd_image(name)) as raw:
        owners = Owners(raw)
        kinds = b"".join(bytes(owners.kinds(cgx)) for cgx in range(raw.groups))
        assert Kind.LOST not in kinds
        assert kinds.count(Kind.FREE) == raw.fs.free_frags
        seen: set[int] = set()
        for owner in owners.runs():
            frags = set(range(owner.frag, owner.end))
            assert not frags & seen
            assert kinds[owner.frag : owner.end] == bytes([owner.kind]) * owner.frags
            seen |= frags
        assert b"".join(
            bytes(ino > 0 for ino in owners.inode_numbers(cgx)) for cgx in range(raw.groups)
        ) == bytes(frag in seen for frag in range(len(kinds)))


def test_owners_and_names_can_be_sent_to_another_process(image: Path) -> None:
    with studied(image) as raw:
        owners, names = Owners(raw), Names(raw)
        big = lookup(raw, b"/big")
        copies = pickle.loads(pickle.dumps((owners, names)))
        assert copies[0].of(big) == owners.of(big)
        assert copies[1].path(big) == b"/big"
        assert names.links(lookup(raw, b"/two")) == 3


def test_a_block_that_two_files_claim_has_both_as_owners(image: Path, tmp_path: Path) -> None:
    with studied(image) as raw:
        one, two = lookup(raw, b"/f8192"), lookup(raw, b"/f8191")
        places = [raw.fs.ino_to_byte(ino) + raw.codec.record.offset("di_db") for ino in (one, two)]
        frag = Owners(raw).of(one)[0].frag
    width = 4 if raw.codec.size == 128 else 8
    data = bytearray(image.read_bytes())
    data[places[1] : places[1] + width] = data[places[0] : places[0] + width]
    damaged = tmp_path / "damaged.img"
    damaged.write_bytes(data)
    with studied(damaged) as raw:
        assert {owner.ino for owner in Owners(raw).at(frag)} == {one, two}
