from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.layout import ORDERS
from rumpfs.ondisk.ufs.dinode import dinode_codec
from rumpfs.ondisk.ufs.direct import DT_DIR, DT_REG, DT_WHT, Direct, parse_dir
from rumpfs.ondisk.ufs.superblock import find_superblock
from tests.images_util import manifest, netbsd_image, netbsd_images

CLEAN = [
    name for name in netbsd_images() if not name.startswith(("disklabel", "mbr")) and "dirty" not in name
]
KIND_OF = {"file": 8, "dir": 4, "symlink": 10, "fifo": 1, "chr": 2, "blk": 6, "socket": 12}


def entry(ino, name, order="<", *, reclen=0, kind=DT_REG, old=False, namlen=None):
    """Pack an entry by the format's rules: header, name, NUL, padding to 4 or to `reclen`."""
    namlen = len(name) if namlen is None else namlen
    reclen = reclen or 8 + (len(name) + 4 & ~3)
    tail = struct.pack(order + "H", namlen) if old else bytes((kind, namlen))
    return (struct.pack(order + "IH", ino, reclen) + tail + name).ljust(reclen, b"\0")


def chunk(*parts, order="<", size=512, old=False, ino=0):
    """Return a chunk: the parts, then an unused entry with the rest."""
    data = b"".join(parts)
    return data + entry(ino, b"", order, reclen=size - len(data), old=old) if len(data) < size else data


@pytest.mark.parametrize("name", CLEAN)
def test_names_types_and_order_are_those_of_the_manifest(name):
    """Every directory whose blocks are direct; the manifest is in directory order."""
    with netbsd_image(name).open("rb") as stream:
        fd = stream.fileno()
        fs = find_superblock(lambda n, at: os.pread(fd, n, at), os.fstat(fd).st_size, name)
        codec = dinode_codec(fs)
        children = {}
        for item in manifest(name)["entries"]:
            parent, _, last = item["path"].rpartition("/")
            if last:
                children.setdefault(parent or "/", []).append((os.fsencode(last), item["ino"], item["type"]))
        inodes = {item["path"]: item["ino"] for item in manifest(name)["entries"]}
        seen = 0
        for path, wanted in children.items():
            ip = codec.decode(os.pread(fd, codec.size, fs.ino_to_byte(inodes[path])))
            blocks = [
                os.pread(fd, fs.blksize(ip.di_size, lbn), address * fs.fs_fsize)
                for lbn, address in enumerate(ip.di_db)
                if address
            ]
            data = b"".join(blocks)[: ip.di_size]
            if len(data) < ip.di_size:
                continue
            found = [
                Direct._make(one)
                for one in parse_dir(data, fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino, path)
            ]
            assert [one.d_name for one in found[:2]] == [b".", b".."]
            assert [(one.d_name, one.d_ino) for one in found[2:]] == [one[:2] for one in wanted]
            if not fs.old_dirents:
                assert [one.d_type for one in found[2:]] == [KIND_OF[one[2]] for one in wanted]
            seen += len(found)
        assert seen > 100


@pytest.mark.parametrize("dirblksiz", [512, 1024])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_entries_across_chunks(order, old, dirblksiz):
    first = (
        entry(2, b".", order, kind=DT_DIR, old=old),
        entry(2, b"..", order, kind=DT_DIR, old=old),
        entry(7, b"abc", order, old=old),
    )
    data = chunk(*first, order=order, old=old, size=dirblksiz)
    data += entry(8, b"n" * 255, order, reclen=dirblksiz, old=old)
    kinds = [0, 0, 0, 0] if old else [4, 4, 8, 8]
    assert parse_dir(data, order, old, dirblksiz, maxino=9) == [
        (0, 2, kinds[0], b"."),
        (12, 2, kinds[1], b".."),
        (24, 7, kinds[2], b"abc"),
        (dirblksiz, 8, kinds[3], b"n" * 255),
    ]


def test_offsets_are_those_in_the_directory():
    assert parse_dir(chunk(entry(5, b"x")), "<", base=8192) == [(8192, 5, DT_REG, b"x")]


def test_unused_entries_and_whiteouts_are_hidden():
    white = entry(1, b"white", kind=DT_WHT)
    data = chunk(entry(0, b"deleted-first"), entry(3, b"a"), entry(0, b"gone"), white, entry(4, b"b"))
    assert [one[3] for one in parse_dir(data, "<")] == [b"a", b"b"]
    assert parse_dir(chunk(), "<") == []
    assert parse_dir(b"", "<") == []


def bad_entries():
    yield "zero length", entry(3, b"ab", reclen=12)[:4] + b"\0\0" + entry(3, b"ab")[6:], "d_reclen"
    yield "odd length", struct.pack("<IHBB", 3, 13, 8, 1) + b"x" + bytes(20), "d_reclen"
    yield "leaves the chunk", entry(3, b"x", reclen=512), "d_reclen"
    yield "header only", struct.pack("<IHBB", 3, 8, 8, 0), "d_reclen"
    yield "unused, zero length", bytes(12), "d_reclen"
    yield "name overruns", entry(3, b"abc", namlen=8), "d_namlen"
    yield "empty name", entry(3, b""), "d_namlen"
    yield "slash", entry(3, b"a/b"), "d_name"
    yield "NUL inside", entry(3, b"a\0b"), "d_name"
    yield "no NUL after", entry(3, b"abc", namlen=2, reclen=12), "d_name"
    yield "inode out of range", entry(100, b"abc"), "d_ino"


@pytest.mark.parametrize(
    ("bad", "field"), [case[1:] for case in bad_entries()], ids=[c[0] for c in bad_entries()]
)
def test_damage_ends_its_chunk_and_is_named(bad, field):
    front = entry(5, b"before")
    damaged = chunk(front, bad, entry(6, b"after")) if len(bad) <= 200 else chunk(front, bad)[:512]
    data = chunk(entry(4, b"first")) + damaged[:512] + chunk(entry(7, b"last"))
    reports = []
    entries = parse_dir(data, "<", maxino=100, where="/dir", base=1024, on_damage=reports.append)
    assert [one[3] for one in entries] == [b"first", b"before", b"last"]
    (report,) = reports
    assert report.field == field
    assert str(report).startswith(f"/dir: entry at byte {1024 + 512 + len(front)}: {field} is ")
    with pytest.raises(Corrupt) as caught:
        parse_dir(data, "<", maxino=100, where="/dir", base=1024)
    assert str(caught.value) == str(report)


def test_a_chunk_cut_short_is_damage():
    data = chunk(entry(5, b"a"), entry(6, b"b"))
    for length in (13, 16, 20, 500):
        reports = []
        entries = parse_dir(data[:length], "<", on_damage=reports.append)
        assert [one[3] for one in entries] == [b"a", b"b"][: 1 + (length >= 24)]
        assert len(reports) == 1


@given(data=st.binary(max_size=2100), old=st.booleans(), order=st.sampled_from(ORDERS))
def test_random_bytes_give_names_or_damage(data, old, order):
    reports = []
    for _, ino, _, name in parse_dir(data, order, old, maxino=1000, on_damage=reports.append):
        assert name
        assert not {0, 47} & set(name)
        assert 1 < ino < 1000
    assert len(reports) <= (len(data) + 511) // 512


@given(
    names=st.lists(
        st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name)),
        min_size=1,
        max_size=20,
    ),
    flip=st.integers(min_value=0),
    order=st.sampled_from(ORDERS),
)
def test_a_flipped_bit_costs_one_chunk_at_most(names, flip, order):
    chunks = [chunk(entry(10 + n, name, order), order=order) for n, name in enumerate(names)]
    data = bytearray(b"".join(chunks))
    at = flip // 8 % len(data)
    data[at] ^= 1 << flip % 8
    entries = parse_dir(bytes(data), order, maxino=100, on_damage=lambda damage: None)
    want = [(512 * n, 10 + n, DT_REG, name) for n, name in enumerate(names) if n != at // 512]
    assert [one for one in entries if one[0] // 512 != at // 512] == want
