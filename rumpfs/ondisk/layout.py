"""On-disk records: declared once, read in both byte orders by codecs derived from the declaration.

A `Record` lists the fields of a C structure with their offsets, under their BSD names::

    CSUM = Record("csum", 16, (
        (0, "cs_ndir", I32),
        (4, "cs_nbfree", I32),
        (8, "cs_nifree", I32),
        (12, "cs_nffree", I32),
    ))

The declaration covers every byte (padding included), so that what is packed is what was read. From it
come `Record.codec`, a `struct.Struct` with a named tuple around it for the hot paths, and
`Record.construct`, the same structure as a `construct.Struct`, for printing and as an oracle in tests.
construct is imported only when that is asked for: its import alone costs a tenth of a server's start.
"""

from __future__ import annotations

import functools
import struct
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

#: Byte orders, as struct spells them.
Order = Literal["<", ">"]
LITTLE: Order = "<"
BIG: Order = ">"
ORDERS: tuple[Order, Order] = (LITTLE, BIG)
ORDER_NAMES: dict[Order, str] = {LITTLE: "little-endian", BIG: "big-endian"}

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a field: an integer, an array of them, or raw bytes.

    Args:
        code: struct's letter for one element; ``s`` for raw bytes.
        size: bytes of one element.
        count: number of elements, or None for a single value.
    """

    code: str
    size: int
    count: int | None = None

    def __getitem__(self, count: int) -> Kind:
        """Return an array of `count` elements (``I32[4]``), or `count` raw bytes (``RAW[32]``)."""
        return Kind(self.code, self.size, count)

    @property
    def nbytes(self) -> int:
        """Bytes that the whole field occupies."""
        return self.size * (1 if self.count is None else self.count)

    @property
    def format(self) -> str:
        """The field in a struct format."""
        return f"{'' if self.count is None else self.count}{self.code}"

    @property
    def is_array(self) -> bool:
        """True when the field decodes to a tuple."""
        return self.count is not None and self.code not in "sx"


I8, U8 = Kind("b", 1), Kind("B", 1)
I16, U16 = Kind("h", 2), Kind("H", 2)
I32, U32 = Kind("i", 4), Kind("I", 4)
I64, U64 = Kind("q", 8), Kind("Q", 8)
RAW = Kind("s", 1)
#: bytes that are passed over
PAD = Kind("x", 1)

Field = tuple[int, str, Kind]


class Codec:
    """Packs and unpacks one record in one byte order.

    Attributes:
        size: bytes of the record.
        unpack_flat, iter_unpack_flat, pack_flat: the bare struct.Struct methods, arrays spread out; for hot
            loops.
    """

    __slots__ = (
        "_arrays", "_group", "_record", "_struct", "iter_unpack_flat", "order", "pack_flat", "size",
        "unpack_flat",
    )  # fmt: skip

    def __init__(self, record: Record, order: Order) -> None:
        self.order = order
        self._struct = struct.Struct(order + "".join(kind.format for _, _, kind in record.fields))
        self.size = self._struct.size
        self.unpack_flat: Callable[..., tuple[Any, ...]] = self._struct.unpack_from
        self.iter_unpack_flat = self._struct.iter_unpack
        self.pack_flat: Callable[..., bytes] = self._struct.pack
        self._record = record
        self._arrays = [kind.is_array for _, _, kind in record.fields]
        self._group = record.picker(record.names) if any(self._arrays) else None

    def unpack(self, data: Buffer, offset: int = 0) -> Any:
        """Return the record at `offset` as a named tuple; arrays are tuples.

        Raises:
            struct.error: fewer than `size` bytes from `offset` on.
        """
        flat = self.unpack_flat(data, offset)
        return self._record.row._make(self._group(flat) if self._group else flat)

    def iter_unpack(self, data: Buffer) -> Iterator[Any]:
        """Yield the records that tile `data`, whose length is a multiple of `size`."""
        flat = self.iter_unpack_flat(data)
        return map(self._record.row._make, map(self._group, flat) if self._group else flat)

    def pack(self, row: Iterable[Any]) -> bytes:
        """Return the bytes of a record, given as its values in the order of declaration."""
        flat: list[Any] = []
        for value, array in zip(row, self._arrays, strict=True):
            if array:
                flat.extend(value)
            else:
                flat.append(value)
        return self._struct.pack(*flat)


class Record:
    """The declaration of an on-disk structure.

    Args:
        name: the C structure's tag.
        size: its bytes on disk.
        fields: (offset, name, kind) in ascending order, without gaps or overlaps.

    Attributes:
        names: the fields' names.
    """

    def __init__(self, name: str, size: int, fields: tuple[Field, ...]) -> None:
        position = 0
        for offset, field, kind in fields:
            if offset != position:
                raise ValueError(
                    f"{name}.{field} is declared at {offset}, the field before ends at {position}"
                )
            position += kind.nbytes
        if position != size:
            raise ValueError(f"{name} is declared with {size} bytes, its fields take {position}")
        self.name = name
        self.size = size
        self.fields = fields
        self.names = tuple(field for _, field, _ in fields)

    @functools.cached_property
    def row(self) -> Any:
        """The named tuple class of decoded records, which can be pickled."""
        kind: Any = namedtuple  # the fields are data here
        made = kind(self.name, self.names)
        made.__reduce__ = lambda row: (_unpickled, (self.name, self.size, self.fields, tuple(row)))
        return made

    @functools.cached_property
    def _codecs(self) -> dict[Order, Codec]:
        return {order: Codec(self, order) for order in ORDERS}

    def codec(self, order: Order) -> Codec:
        """Return the codec for a byte order."""
        return self._codecs[order]

    def offset(self, name: str) -> int:
        """Return the byte offset of a field.

        Raises:
            KeyError: no such field.
        """
        return self._places[name][0]

    @functools.cached_property
    def _places(self) -> dict[str, tuple[int, int, Kind]]:
        """Field name -> (byte offset, index of its first element in a flat tuple, kind)."""
        places = {}
        index = 0
        for offset, name, kind in self.fields:
            places[name] = (offset, index, kind)
            index += (kind.count or 0) if kind.is_array else kind.code != PAD.code
        return places

    def only(self, names: Iterable[str]) -> Record:
        """Return the same record with everything but these fields passed over: it is decoded faster."""
        kept = {name.partition("[")[0] for name in names}
        fields = ((at, name, kind if name in kept else PAD[kind.nbytes]) for at, name, kind in self.fields)
        return Record(self.name, self.size, tuple(fields))

    def picker(self, names: Iterable[str]) -> itemgetter[Any]:
        """Return a function from a flat tuple to the named fields' values, arrays as tuples.

        Names may be given in any order and more than once; an array's element is ``name[index]``.
        At least two are needed.
        """
        return itemgetter(*(self.place(name) for name in names))

    def place(self, name: str) -> Any:
        """Return the index, or an array's slice, of a field or of an array's element in a flat tuple."""
        base, _, index = name.partition("[")
        _, first, kind = self._places[base]
        if index:
            return first + int(index[:-1])
        return slice(first, first + (kind.count or 0)) if kind.is_array else first

    def construct(self, order: Order) -> Any:
        """Return the same structure as a construct.Struct: prints, builds, and checks the codec."""
        import construct as con

        def part(kind: Kind) -> Any:
            if kind.code == "s":
                return con.Bytes(kind.nbytes)
            sign = "u" if kind.code.isupper() else "s"
            integer = getattr(con, f"Int{kind.size * 8}{sign}{'l' if order == LITTLE else 'b'}")
            return integer if kind.count is None else con.Array(kind.count, integer)

        return con.Struct(*(name / part(kind) for _, name, kind in self.fields))


@functools.cache
def _declared(name: str, size: int, fields: tuple[Field, ...]) -> Record:
    return Record(name, size, fields)


def _unpickled(name: str, size: int, fields: tuple[Field, ...], values: tuple[Any, ...]) -> Any:
    """Return a decoded record again, in another process as well."""
    return _declared(name, size, fields).row._make(values)
