"""The messages and rules are those of rump_server's -d (../shared/spec/sysproxy.md section 13.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.dev.drivespec import DriveSpec, DriveSpecError, parse_drivespec


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("1", 1), ("512", 512), ("1b", 512), ("3k", 3072), ("1m", 1 << 20), ("1g", 1 << 30),
        ("2t", 2 << 40), ("5w", 20), ("2x512", 1024), ("1gx4", 4 << 30), ("4*16k", 65536), ("2x3x4k", 24576),
        ("  7", 7), ("007", 7), ("+7", 7), ("9223372036854775807", (1 << 63) - 1), ("0x10", 0),
    ],
)  # fmt: skip
def test_numbers(text, number):
    assert parse_size(text, "-d size") == number


@pytest.mark.parametrize(
    "text", ["", " ", "k", "1K", "1kk", "1 k", "1.5g", "x2", "2x", "2xx3", "0b1_0", "0xff", "1e3", "٣"]
)
def test_what_is_no_number(text):
    with pytest.raises(SizeError, match="illegal number") as caught:
        parse_size(text, "-d size")
    assert f"`{text}'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-1", "is less than 0."), ("-2x512", "is less than 0."),
        ("9223372036854775808", "is greater than 9223372036854775807."), ("8388608tx2", "is greater than"),
        ("9" * 5000, "is greater than"), ("x".join(["9t"] * 2000), "is greater than"),
    ],
)  # fmt: skip
def test_numbers_out_of_range(text, why):
    with pytest.raises(SizeError) as caught:
        parse_size(text, "-r")
    assert str(caught.value).startswith("-r ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("key=/dev/dk,hostpath=dk.img,size=1g", DriveSpec(b"/dev/dk", "dk.img", size=1 << 30)),
        ("size=host,hostpath=a=b,key=/k", DriveSpec(b"/k", "a=b", size_host=True)),
        ("key=/k,hostpath=h,size=2k,offset=1b", DriveSpec(b"/k", "h", size=2048, offset=512)),
        ("key=/k,hostpath=h,disklabel=e", DriveSpec(b"/k", "h", disklabel="e")),
        ("key=/k,hostpath=h,type=reg", DriveSpec(b"/k", "h", type="reg")),
        ("key=/k,hostpath=h,type=reg,size=0", DriveSpec(b"/k", "h", type="reg")),
        (
            "key=/k,hostpath=h,type=chr,size=1m,ro",
            DriveSpec(b"/k", "h", size=1 << 20, type="chr", readonly=True),
        ),
        ("ro,key=/k,hostpath=h,disklabel=a,", DriveSpec(b"/k", "h", disklabel="a", readonly=True)),
        # A zero counts as not given.
        ("key=/k,hostpath=h,size=0,size=1k,offset=0,offset=4", DriveSpec(b"/k", "h", size=1024, offset=4)),
        # size and offset after disklabel are ignored.
        ("key=/k,hostpath=h,disklabel=a,size=1k,offset=5", DriveSpec(b"/k", "h", disklabel="a")),
        ("key=/k,hostpath=h,disklabel=a,size=host", DriveSpec(b"/k", "h", disklabel="a")),
        ("key=/k\udcff,hostpath=h,size=1", DriveSpec(b"/k\xff", "h", size=1)),
        ("key=relative,hostpath=,size=1", DriveSpec(b"relative", "", size=1)),
    ],
)
def test_good_drivespecs(text, spec):
    assert parse_drivespec(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "incomplete drivespec"),
        ("key=/k", "incomplete drivespec"),
        ("hostpath=h,size=1", "incomplete drivespec"),
        ("key=/k,hostpath=h", "incomplete drivespec"),
        ("key=/k,hostpath=h,size=0", "incomplete drivespec"),
        ("key=/k,hostpath=h,offset=1k", "incomplete drivespec"),
        ("key=/k,key=/l", "key already given"),
        ("hostpath=a,hostpath=b", "hostpath already given"),
        ("size=1,size=2", "size already given"),
        ("size=host,size=2", "size already given"),
        ("size=1,size=host", "size already given"),
        ("offset=1,size=host", "cannot specify offset with size=host"),
        ("size=host,offset=1", "cannot specify offset with size=host"),
        ("offset=1,offset=2", "offset already given"),
        ("size=1,disklabel=a", "disklabel needs to be used alone"),
        ("offset=1,disklabel=a", "disklabel needs to be used alone"),
        ("size=host,disklabel=a", "disklabel needs to be used alone"),
        ("disklabel=A", "invalid label part"),
        ("disklabel=ab", "invalid label part"),
        ("disklabel=", "invalid label part"),
        ("disklabel=1", "invalid label part"),
        ("disklabel=ä", "invalid label part"),
        ("type=blk,type=blk", "type already specified"),
        ("type=foo", "invalid type foo"),
        ("type=", "invalid type "),
        ("foo=1", "invalid dtoken"),
        ("key=/k,,hostpath=h", "invalid dtoken"),
        (" key=/k", "invalid dtoken"),
        ("Key=/k", "invalid dtoken"),
        ("=", "invalid dtoken"),
        ("rox", "invalid dtoken"),
        ("ro=1", "invalid dtoken"),
        ("key", "missing value for key"),
        ("hostpath", "missing value for hostpath"),
        ("size", "missing value for size"),
        ("offset", "missing value for offset"),
        ("disklabel", "missing value for disklabel"),
        ("type", "missing value for type"),
        # Read from left to right: the first mistake is the one that is said.
        ("key=/k,foo,size=x", "invalid dtoken"),
    ],
)
def test_bad_drivespecs(text, message):
    with pytest.raises(DriveSpecError) as caught:
        parse_drivespec(text)
    assert (caught.value.message, caught.value.usage) == (message, True)


@pytest.mark.parametrize("name", ["size", "offset"])
def test_a_bad_number_is_said_without_the_usage(name):
    with pytest.raises(DriveSpecError) as caught:
        parse_drivespec(f"key=/k,hostpath=h,{name}=12q")
    assert (caught.value.message, caught.value.usage) == (f"-d {name} `12q': illegal number", False)


@given(
    st.lists(
        st.sampled_from(
            ["key=/k", "hostpath=h", "size=1k", "size=host", "size=x", "offset=1", "disklabel=a", "type=reg",
             "type=blk", "ro", "size", "", "=", "key", "nonsense"]
        ),
        max_size=8,
    )
)  # fmt: skip
def test_any_words_are_a_drivespec_or_a_message(words):
    try:
        spec = parse_drivespec(",".join(words))
    except DriveSpecError as error:
        assert error.message  # noqa: PT017
    else:
        assert {"key=/k", "hostpath=h"} <= set(words)
        assert spec.type == "reg" or spec.size or spec.size_host or spec.disklabel
