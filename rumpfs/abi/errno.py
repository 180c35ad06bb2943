"""NetBSD error numbers (sys/sys/errno.h) and their translation to the host's and back.

NetBSD and Linux agree up to 34 except for 11 (EDEADLK there, EAGAIN here) and differ above.
"""

from __future__ import annotations

import errno as _host
import os

EPERM = 1
ENOENT = 2
ESRCH = 3
EINTR = 4
EIO = 5
ENXIO = 6
E2BIG = 7
ENOEXEC = 8
EBADF = 9
ECHILD = 10
EDEADLK = 11
ENOMEM = 12
EACCES = 13
EFAULT = 14
ENOTBLK = 15
EBUSY = 16
EEXIST = 17
EXDEV = 18
ENODEV = 19
ENOTDIR = 20
EISDIR = 21
EINVAL = 22
ENFILE = 23
EMFILE = 24
ENOTTY = 25
ETXTBSY = 26
EFBIG = 27
ENOSPC = 28
ESPIPE = 29
EROFS = 30
EMLINK = 31
EPIPE = 32
EDOM = 33
ERANGE = 34
EAGAIN = 35
EINPROGRESS = 36
EALREADY = 37
ENOTSOCK = 38
EDESTADDRREQ = 39
EMSGSIZE = 40
EPROTOTYPE = 41
ENOPROTOOPT = 42
EPROTONOSUPPORT = 43
ESOCKTNOSUPPORT = 44
EOPNOTSUPP = 45
EPFNOSUPPORT = 46
EAFNOSUPPORT = 47
EADDRINUSE = 48
EADDRNOTAVAIL = 49
ENETDOWN = 50
ENETUNREACH = 51
ENETRESET = 52
ECONNABORTED = 53
ECONNRESET = 54
ENOBUFS = 55
EISCONN = 56
ENOTCONN = 57
ESHUTDOWN = 58
ETOOMANYREFS = 59
ETIMEDOUT = 60
ECONNREFUSED = 61
ELOOP = 62
ENAMETOOLONG = 63
EHOSTDOWN = 64
EHOSTUNREACH = 65
ENOTEMPTY = 66
EPROCLIM = 67
EUSERS = 68
EDQUOT = 69
ESTALE = 70
EREMOTE = 71
EBADRPC = 72
ERPCMISMATCH = 73
EPROGUNAVAIL = 74
EPROGMISMATCH = 75
EPROCUNAVAIL = 76
ENOLCK = 77
ENOSYS = 78
EFTYPE = 79
EAUTH = 80
ENEEDAUTH = 81
EIDRM = 82
ENOMSG = 83
EOVERFLOW = 84
EILSEQ = 85
ENOTSUP = 86
ECANCELED = 87
EBADMSG = 88
ENODATA = 89
ENOSR = 90
ENOSTR = 91
ETIME = 92
ENOATTR = 93
EMULTIHOP = 94
ENOLINK = 95
EPROTO = 96
EWOULDBLOCK = EAGAIN

#: number -> name, for every number that may be sent to a client.
NAMES: dict[int, str] = {
    value: name for name, value in globals().items() if name[0] == "E" and name != "EWOULDBLOCK"
}

# NetBSD names that the host lacks, and the host's nearest meaning.
_NEAREST = {
    "EPROCLIM": "EAGAIN",
    "EBADRPC": "EPROTO",
    "ERPCMISMATCH": "EPROTO",
    "EPROGUNAVAIL": "EPROTO",
    "EPROGMISMATCH": "EPROTO",
    "EPROCUNAVAIL": "EPROTO",
    "EFTYPE": "EINVAL",
    "EAUTH": "EACCES",
    "ENEEDAUTH": "EACCES",
    "ENOATTR": "ENODATA",
    "ENOTSUP": "EOPNOTSUPP",
}


def _host_number(name: str) -> int:
    return int(getattr(_host, _NEAREST.get(name, name)))


#: NetBSD number -> host number, total over NAMES.
TO_HOST: dict[int, int] = {number: _host_number(name) for number, name in NAMES.items()}

#: host number -> NetBSD number; a host error that NetBSD does not know is EIO.
FROM_HOST: dict[int, int] = dict.fromkeys(_host.errorcode, EIO) | {
    getattr(_host, name): number for number, name in reversed(NAMES.items()) if hasattr(_host, name)
}


def from_oserror(error: OSError) -> int:
    """Return the NetBSD number for a host error (EIO when the host gave none)."""
    return FROM_HOST.get(error.errno or 0, EIO)


# What the host has no text for, or another one than the recorded messages of NetBSD's programs.
_TEXT = {
    ERANGE: "Result too large or too small",
    EFTYPE: "Inappropriate file type or format",
    ENOATTR: "Attribute not found",
}


def strerror(number: int) -> str:
    """Return the text of a NetBSD error number: the host's text for the same error, with few exceptions."""
    return _TEXT.get(number) or os.strerror(TO_HOST.get(number, number))
