"""Layouts and numbers of sysproxy frames (librumpuser/sp_common.c: struct rsp_hdr and its payloads).

A frame is a 24-byte header and a payload, in host byte order; this is the LP64 little-endian form.
"""

from __future__ import annotations

import struct
from typing import Final

from rumpfs.abi.version import MACHINE, OSRELEASE, OSTYPE

#: what a server says first; NetBSD's clients read it and check only that it ends in a newline
BANNER: Final = b"RUMPSP-0.4-" + OSTYPE + b"-" + OSRELEASE + b"/" + MACHINE + b"\n"
BANNER_MAX: Final = 95

#: rsp_len (with the header), rsp_reqno, rsp_class, rsp_type, and a union: sysnum, error, handshake, signo
HEADER: Final = struct.Struct("<QQHHI")
HDRLEN: Final = HEADER.size

REQ: Final = 0
RESP: Final = 1
ERROR: Final = 2

HANDSHAKE: Final = 0
SYSCALL: Final = 1
COPYIN: Final = 2
COPYINSTR: Final = 3
COPYOUT: Final = 4
COPYOUTSTR: Final = 5
ANONMMAP: Final = 6
PREFORK: Final = 7
RAISE: Final = 8

HANDSHAKE_GUEST: Final = 0
HANDSHAKE_AUTH: Final = 1
HANDSHAKE_FORK: Final = 2
HANDSHAKE_EXEC: Final = 3

# error codes in an ERROR frame
ERR_NONE: Final = 0
ERR_TRYAGAIN: Final = 1
ERR_AUTH: Final = 2
ERR_INVALID_PREFORK: Final = 3
ERR_RFORK_FAILED: Final = 4
ERR_INEXEC: Final = 5
ERR_NOMEM: Final = 6
ERR_MALFORMED_REQUEST: Final = 7

#: length and address of a copy request, in front of the data of a COPYOUT
COPYDATA: Final = struct.Struct("<QQ")
#: a whole COPYIN or COPYINSTR request, or the head of a COPYOUT
COPY_FRAME: Final = struct.Struct("<QQHHIQQ")
#: a whole response to a system call
SYSRESP_FRAME: Final = struct.Struct("<QQHHIi4xqq")
#: its payload: error, retval[0], retval[1]
SYSRESP: Final = struct.Struct("<i4xqq")
#: a whole response to a handshake
HSRESP_FRAME: Final = struct.Struct("<QQHHIi")
#: payload of HANDSHAKE FORK: cookie and cancel
FORK_BODY: Final = struct.Struct("<16si")
COOKIE_LEN: Final = 16

#: largest COPYIN asked for at once: Linux answers a bad address within this range with silence instead
#: of half a frame (spec of sysproxy, copy requests)
COPYIN_PIECE: Final = 32 << 10
#: what a client may send in one frame: an answer to a COPYIN, with room for a too long one
MAX_CLIENT_FRAME: Final = HDRLEN + 2 * COPYIN_PIECE


def frame(reqno: int, cls: int, kind: int, union: int = 0, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return HEADER.pack(HDRLEN + len(payload), reqno, cls, kind, union) + payload


def error(reqno: int, code: int) -> bytes:
    """Return an ERROR frame."""
    return HEADER.pack(HDRLEN, reqno, ERROR, 0, code)


def sysresp(reqno: int, err: int, rv0: int, rv1: int = 0) -> bytes:
    """Return the response to a system call."""
    return SYSRESP_FRAME.pack(48, reqno, RESP, SYSCALL, 0, err, rv0, rv1)


def handshake_resp(reqno: int) -> bytes:
    """Return the response to a handshake that succeeded."""
    return HSRESP_FRAME.pack(28, reqno, RESP, HANDSHAKE, 0, 0)
