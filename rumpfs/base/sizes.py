"""Numbers with dd(1)-like suffixes, as strsuftoll(3) reads them."""

from __future__ import annotations

import re

#: Bytes of each suffix.
SUFFIXES = {"b": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "w": 4}

INT64_MAX = (1 << 63) - 1

_FACTOR = re.compile(rf"\s*([+-]?)0*(\d+)([{''.join(SUFFIXES)}]?)", re.ASCII)

#: Digits that INT64_MAX has; a longer number is out of range whatever it is.
_MAX_DIGITS = 19

#: Bits beyond which a product of many factors is not followed any further.
_MAX_BITS = 256


class SizeError(ValueError):
    """A text is not a number in range; the message names what it is for."""


def parse_size(text: str, what: str, minimum: int = 0, maximum: int = INT64_MAX) -> int:
    """Return the number in `text`: decimal, with one suffix, or a product of such with ``x`` or ``*``.

    Args:
        text: e.g. ``1g``, ``2x512``, ``4*16k``.
        what: what the number is for, in messages: ``-d size``.
        minimum, maximum: the range.

    Raises:
        SizeError: not a number, or out of range.
    """
    total = 1
    for factor in re.split(r"[x*]", text):
        match = _FACTOR.fullmatch(factor)
        if match is None:
            raise SizeError(f"{what} `{text}': illegal number")
        sign, digits, suffix = match.groups()
        value = int(digits) if len(digits) <= _MAX_DIGITS else maximum + 1
        total *= (-value if sign == "-" else value) * SUFFIXES.get(suffix, 1)
        if total.bit_length() > _MAX_BITS:
            total = (INT64_MAX + 1) * (-1 if total < 0 else 1)
    if total < minimum:
        raise SizeError(f"{what} {text} is less than {minimum}.")
    if total > maximum:
        raise SizeError(f"{what} {text} is greater than {maximum}.")
    return total
