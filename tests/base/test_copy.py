"""What bodies and front ends say to each other."""

from __future__ import annotations

import pytest

from rumpfs.base.copy import COPYIN_MAX, DATA_TYPES, CopyInStr, Done, Sleep, data_length
from rumpfs.base.waitq import WaitQueue
from rumpfs.sysproxy.wire import COPYIN_PIECE


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"abc", 3),
        (bytearray(5), 5),
        (memoryview(b"abcdef")[2:], 4),
        ([], 0),
        ([b"ab", memoryview(b"cde"), bytearray(1)], 6),
    ],
)
def test_the_length_of_data(data: object, length: int) -> None:
    assert isinstance(data, DATA_TYPES)
    assert data_length(data) == length  # type: ignore[arg-type]


def test_a_generator_is_no_data() -> None:
    assert not isinstance((byte for byte in b"abc"), DATA_TYPES)


def test_defaults() -> None:
    assert CopyInStr(1).maxlen == 1024  # PATH_MAX
    assert Done(1, b"").retval == 0
    assert Sleep(WaitQueue()).deadline is None
    assert COPYIN_MAX % COPYIN_PIECE == 0
