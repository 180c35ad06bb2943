"""Names as strsvis(3) encodes them, with VIS_CSTYLE, in the manifests of mtree(8)."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|M-(.)|M\^(.)|\^(.)|(.))", re.DOTALL)
_LETTERS = {
    b"n": b"\n", b"r": b"\r", b"b": b"\b", b"a": b"\a", b"v": b"\v", b"t": b"\t", b"f": b"\f", b"s": b" ",
    b"E": b"\033",
}  # fmt: skip


def unvis(text: bytes) -> bytes:
    """Return what an encoded text stands for (strunvis(3)); what follows a backslash may stand for itself."""
    return _ESCAPE.sub(_decoded, text) if b"\\" in text else text


def _decoded(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, meta, meta_control, control, letter = match.groups()
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    if meta is not None:
        return bytes((meta[0] | 0x80,))
    if meta_control is not None:
        return bytes((_control(meta_control[0]) | 0x80,))
    if control is not None:
        return bytes((_control(control[0]),))
    return _LETTERS.get(letter, letter)


def _control(byte: int) -> int:
    return 0x7F if byte == ord("?") else byte & 0x1F
