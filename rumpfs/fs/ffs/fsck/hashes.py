"""FreeBSD's check hashes, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.ondisk.ufs.ckhash import set_hash

if TYPE_CHECKING:
    from rumpfs.ondisk.layout import Buffer, Record
    from rumpfs.ondisk.ufs.superblock import Superblock


def wrong_hash(
    fs: Superblock, bit: int, data: Buffer, record: Record, field: str
) -> dict[str, object] | None:
    """Return field, value and expected value of a hash, as a finding has them; None when it is right.

    Args:
        fs, bit, record, field: as for `set_hash`.
        data: the structure.
    """
    if not fs.metackhash & bit:
        return None
    sealed = bytearray(data)
    set_hash(fs, bit, sealed, record, field)
    if sealed == data:
        return None
    codec = record.codec(fs.order)
    return {
        "field": field,
        "got": getattr(codec.unpack(data), field),
        "expected": getattr(codec.unpack(sealed), field),
    }
