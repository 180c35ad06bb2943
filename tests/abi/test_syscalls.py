"""The table of system calls against the specification's."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import pytest

from rumpfs.abi.syscalls import (
    BY_NAME,
    BY_NUMBER,
    FD,
    IN,
    INT,
    LONG,
    NETBSD10,
    NSYSENT,
    OFF,
    OUT,
    PADDING,
    PATH,
    PTR,
    SLOT,
    SYSCALLS,
    UINT,
    ULONG,
    Syscall,
)

#: declared C types of an argument -> the kinds that decode it as the ABI wants
KINDS = {
    "int": {FD, INT}, "pid_t": {INT}, "clockid_t": {INT}, "timer_t": {INT},
    "u_int": {UINT}, "mode_t": {UINT}, "uid_t": {UINT}, "gid_t": {UINT},
    "size_t": {ULONG}, "u_long": {ULONG}, "dev_t": {ULONG}, "long": {LONG}, "off_t": {OFF},
    "uint32_t": {UINT}, "socklen_t": {UINT},
}  # fmt: skip


def declared(text: str) -> list[tuple[str, str]]:
    """Return (type, name) of each argument."""
    args = re.findall(r"\d+:([^,]+?) ?(\*{0,2})(\w+)(?=, \d+:|$)", text)
    return [(kind + stars, name) for kind, stars, name in args]


def specified(shared: Path) -> dict[int, tuple[str, list[tuple[str, str]], int, str, str]]:
    """Return number -> name, (type, name) of each argument, slots, result and component (if it is said)."""
    rows: dict[int, tuple[str, list[tuple[str, str]], int, str, str]] = {}
    for line in (shared / "spec" / "netbsd_abi.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].isdigit():
            rows[int(cells[0])] = cells[1], declared(cells[2]), int(cells[3]), cells[4], cells[5]
        elif len(cells) == 2 and int(cells[0] if cells[0].isdigit() else 0) >= NETBSD10:
            new = re.fullmatch(r"(\w+)\((.*)\), RUMP(?:, ret (\w+))?", cells[1])
            if new is not None and "*, " not in new[2]:
                args = declared(new[2])
                rows[int(cells[0])] = new[1], args, len(args), new[3] or "int", ""
    assert len(rows) > 200
    return rows


def listed(shared: Path) -> dict[int, str]:
    """Return number -> name of the calls of which the specification has only these."""
    text = (shared / "spec" / "netbsd_abi.md").read_text()
    start, end = text.index("### 1.1"), text.index("### 1.3")
    return {int(number): name for number, name in re.findall(r"\b(\d{1,3})[ |]+(\w+)", text[start:end])}


def test_every_row_is_as_specified(shared: Path) -> None:
    rows = specified(shared)
    names = listed(shared)
    for row in SYSCALLS:
        if row.number not in rows:
            assert row.name == names[row.number]
            continue
        name, args, slots, result, component = rows[row.number]
        assert row.name == name
        assert len(row.args) == slots == len(args), row.name
        if row.like is not None and component:
            assert component == "nomodule (compat)", row.name
        else:
            assert row.component == (component or row.component), row.name
        assert row.result == result.split()[0], row.name
        assert row.noerr == result.endswith("NOERR"), row.name
        for mine, (kind, argname) in zip(row.args, args, strict=True):
            if argname == "PAD":
                assert mine.kind == PADDING, row.name
            elif kind.endswith("*"):
                assert mine.kind in (PTR, PATH, IN, OUT), (row.name, argname)
            else:
                assert mine.kind in KINDS[kind], (row.name, argname)


def test_no_call_that_file_servers_have_is_missing(shared: Path) -> None:
    missing = {
        name
        for number, (name, _, _, _, component) in specified(shared).items()
        if component in ("kern", "vfs") and number not in BY_NUMBER and number < NETBSD10
    }
    assert missing == set()


def test_a_call_like_another_has_its_arguments() -> None:
    likes = [(row, BY_NAME[row.like.name]) for row in SYSCALLS if row.like is not None]
    assert len(likes) > 20
    for row, present in likes:
        assert row.number != present.number
        assert (row.component, row.result) == (present.component, present.result), row.name
        # mknod's dev_t had 32 bits
        kinds = [UINT if arg.name == "dev" else arg.kind for arg in present.args]
        assert [arg.kind for arg in row.args] == kinds, row.name


def test_every_argument_has_one_slot_of_eight_bytes() -> None:
    assert all(struct.calcsize("<" + code) == 8 for code in SLOT.values())
    for row in SYSCALLS:
        assert struct.calcsize(row.slots) == 8 * len(row.args)


def test_an_int_is_the_low_half_of_its_slot() -> None:
    # AT_FDCWD arrives as 0xffffff9c without its sign extended
    row = BY_NAME["openat"]
    slots = struct.pack("<QQQQ", 0xFFFFFF9C, 0x1000, 0xFFFFFFFF00000002, 0xFFFFFFFF)
    assert struct.unpack(row.slots, slots) == (-100, 0x1000, 2, 0xFFFFFFFF)


def test_padding_is_not_decoded() -> None:
    for row in SYSCALLS:
        values = struct.unpack(row.slots, bytes(8 * len(row.args)))
        assert len(values) == sum(arg.kind != PADDING for arg in row.args)


def test_numbers_and_names_are_unique() -> None:
    for counts in (Counter(row.number for row in SYSCALLS), Counter(row.name for row in SYSCALLS)):
        assert counts.most_common(1)[0][1] == 1
    assert len(BY_NAME) == len(BY_NUMBER) == len(SYSCALLS)
    assert all(0 < row.number < NSYSENT for row in SYSCALLS)


def test_rows_are_in_the_order_of_syscalls_master() -> None:
    numbers = [row.number for row in SYSCALLS]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("row", SYSCALLS, ids=lambda row: row.name)
def test_sizes_name_arguments(row: Syscall) -> None:
    names = [arg.name for arg in row.args if arg.kind != PADDING]
    assert len(set(names)) == len(names)
    for arg in row.args:
        if arg.kind in (IN, OUT) and isinstance(arg.size, str):
            assert next(other for other in row.args if other.name == arg.size).kind in (ULONG, UINT)
        else:
            assert isinstance(arg.size, int)
            assert (arg.size > 0) == (arg.kind in (IN, OUT, PATH))
