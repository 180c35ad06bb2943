"""The table of system calls: number, name, component, result and arguments.

Numbers and argument order are those of NetBSD's sys/kern/syscalls.master. Dispatch, argument decoding,
client stubs, tracing and the support page are derived from this table; nothing else lists the calls.

Every argument occupies one 8-byte slot (sysproxy: register_t), in order. `Arg.kind` says what it is:

=========== =====================================================================================
FD INT      32-bit signed (FD: a descriptor)
UINT        32-bit unsigned (mode_t, uid_t, gid_t, u_int)
LONG ULONG  64-bit (size_t, u_long, dev_t are ULONG)
OFF         off_t
PTR         an address that the body fetches from or stores to by itself
PATH        address of a NUL-terminated path of at most 1024 bytes; the body gets the bytes
IN          address of `size` bytes that the client gives (size: a number, or the argument that holds it)
OUT         address where at most `size` bytes go
PAD         a slot without meaning
=========== =====================================================================================

An earlier version of a call, with other structures, is `Like` the present one: it has the same body.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rumpfs.abi import event, stat, time

FD: Final = "fd"
INT: Final = "int"
UINT: Final = "uint"
LONG: Final = "long"
ULONG: Final = "ulong"
OFF: Final = "off"
PTR: Final = "ptr"
PATH: Final = "path"
IN: Final = "in"
OUT: Final = "out"
PADDING: Final = "pad"

#: struct module code of the slot of each kind (little-endian, LP64).
SLOT: Final = {
    FD: "i4x",
    INT: "i4x",
    UINT: "I4x",
    LONG: "q",
    ULONG: "Q",
    OFF: "q",
    PTR: "Q",
    PATH: "Q",
    IN: "Q",
    OUT: "Q",
    PADDING: "8x",
}

PATH_MAX: Final = 1024  # sys/sys/syslimits.h, including the NUL
NSYSENT: Final = 512  # sys/sys/syscall.h: SYS_NSYSENT
#: calls from this number on are of NetBSD 10: new ones, and new versions of others
NETBSD10: Final = 483

KERN: Final = "kern"
VFS: Final = "vfs"
NET: Final = "net"


class Arg(NamedTuple):
    """One argument: its name, kind and, for IN and OUT, its size (bytes, or the argument holding it)."""

    name: str
    kind: str
    size: int | str = 0


class Like(NamedTuple):
    """The call whose body another has, and in which structure they differ.

    Args:
        name: the call that has the body.
        structure: what is different, for a reader.
        codec: for an IN argument what makes of the caller's bytes those that the body wants, for an OUT
            argument what makes of the body's bytes those that the caller gets; a body that copies by itself
            is given it by the name `codec`. None: nothing is to be converted.
    """

    name: str
    structure: str = ""
    codec: Any = None


class Syscall(NamedTuple):
    """One row: `noerr` calls have no error that a client looks at."""

    number: int
    name: str
    component: str
    result: str
    args: tuple[Arg, ...]
    noerr: bool
    like: Like | None = None

    @property
    def slots(self) -> str:
        """The struct format of the argument block."""
        return "<" + "".join(SLOT[arg.kind] for arg in self.args)


def fd(name: str) -> Arg:
    """Return a descriptor argument."""
    return Arg(name, FD)


def int_(name: str) -> Arg:
    """Return a 32-bit signed argument."""
    return Arg(name, INT)


def uint(name: str) -> Arg:
    """Return a 32-bit unsigned argument."""
    return Arg(name, UINT)


def long(name: str) -> Arg:
    """Return a 64-bit signed argument."""
    return Arg(name, LONG)


def ulong(name: str) -> Arg:
    """Return a 64-bit unsigned argument."""
    return Arg(name, ULONG)


def off(name: str) -> Arg:
    """Return an offset or length of a file."""
    return Arg(name, OFF)


def ptr(name: str) -> Arg:
    """Return an address that the body deals with."""
    return Arg(name, PTR)


def path(name: str) -> Arg:
    """Return the address of a path."""
    return Arg(name, PATH, PATH_MAX)


def in_(name: str, size: str) -> Arg:
    """Return the address of bytes that the caller gives; argument `size` holds their number."""
    return Arg(name, IN, size)


def in_struct(name: str, size: int) -> Arg:
    """Return the address of a structure of `size` bytes that the caller gives, or NULL."""
    return Arg(name, IN, size)


def out(name: str, size: str) -> Arg:
    """Return the address where at most as many bytes go as argument `size` says."""
    return Arg(name, OUT, size)


def out_struct(name: str, size: int) -> Arg:
    """Return the address where a structure of `size` bytes goes."""
    return Arg(name, OUT, size)


PAD = Arg("PAD", PADDING)


def _row(
    number: int,
    name: str,
    component: str,
    result: str,
    *args: Arg,
    noerr: bool = False,
    like: Like | None = None,
) -> Syscall:
    return Syscall(number, name, component, result, args, noerr, like)


_STAT30: Final = "struct stat30"
_TIMEVAL50: Final = "struct timeval50"
_TIMESPEC50: Final = "struct timespec50"
_ITIMER50: Final = "struct itimerval50"


# fmt: off
SYSCALLS: Final[tuple[Syscall, ...]] = (
    _row(3, "read", KERN, "ssize_t", fd("fd"), out("buf", "nbyte"), ulong("nbyte")),
    _row(4, "write", KERN, "ssize_t", fd("fd"), in_("buf", "nbyte"), ulong("nbyte")),
    _row(5, "open", VFS, "int", path("path"), int_("flags"), uint("mode")),
    _row(6, "close", KERN, "int", fd("fd")),
    _row(9, "link", VFS, "int", path("path"), path("link")),
    _row(10, "unlink", VFS, "int", path("path")),
    _row(12, "chdir", VFS, "int", path("path")),
    _row(13, "fchdir", VFS, "int", fd("fd")),
    _row(14, "compat_50_mknod", VFS, "int", path("path"), uint("mode"), uint("dev"),
         like=Like("__mknod50", "a 32-bit dev_t")),
    _row(15, "chmod", VFS, "int", path("path"), uint("mode")),
    _row(16, "chown", VFS, "int", path("path"), uint("uid"), uint("gid")),
    _row(20, "getpid", KERN, "pid_t", noerr=True),
    _row(22, "unmount", VFS, "int", path("path"), int_("flags")),
    _row(23, "setuid", KERN, "int", uint("uid")),
    _row(24, "getuid", KERN, "uid_t", noerr=True),
    _row(25, "geteuid", KERN, "uid_t", noerr=True),
    _row(30, "accept", NET, "int", fd("s"), ptr("name"), ptr("anamelen")),
    _row(31, "getpeername", NET, "int", fd("fdes"), ptr("asa"), ptr("alen")),
    _row(32, "getsockname", NET, "int", fd("fdes"), ptr("asa"), ptr("alen")),
    _row(33, "access", VFS, "int", path("path"), int_("flags")),
    _row(34, "chflags", VFS, "int", path("path"), ulong("flags")),
    _row(35, "fchflags", VFS, "int", fd("fd"), ulong("flags")),
    _row(36, "sync", VFS, "void", noerr=True),
    _row(39, "getppid", KERN, "pid_t", noerr=True),
    _row(41, "dup", KERN, "int", fd("fd")),
    _row(42, "pipe", KERN, "int"),
    _row(43, "getegid", KERN, "gid_t", noerr=True),
    _row(45, "ktrace", VFS, "int", path("fname"), int_("ops"), int_("facs"), int_("pid")),
    _row(47, "getgid", KERN, "gid_t", noerr=True),
    _row(49, "__getlogin", KERN, "int", ptr("namebuf"), ulong("namelen")),
    _row(50, "__setlogin", KERN, "int", ptr("namebuf")),
    _row(54, "ioctl", KERN, "int", fd("fd"), ulong("com"), ptr("data")),
    _row(56, "revoke", VFS, "int", path("path")),
    _row(57, "symlink", VFS, "int", path("path"), path("link")),
    _row(58, "readlink", VFS, "ssize_t", path("path"), out("buf", "count"), ulong("count")),
    _row(60, "umask", VFS, "mode_t", uint("newmask")),
    _row(61, "chroot", VFS, "int", path("path")),
    _row(79, "getgroups", KERN, "int", int_("gidsetsize"), ptr("gidset")),
    _row(80, "setgroups", KERN, "int", int_("gidsetsize"), ptr("gidset")),
    _row(81, "getpgrp", KERN, "int"),
    _row(82, "setpgid", KERN, "int", int_("pid"), int_("pgid")),
    _row(83, "compat_50_setitimer", KERN, "int", int_("which"), ptr("itv"), ptr("oitv"),
         like=Like("__setitimer50", _ITIMER50, time.ITIMERVAL50)),
    _row(86, "compat_50_getitimer", KERN, "int", int_("which"), ptr("itv"),
         like=Like("__getitimer50", _ITIMER50, time.ITIMERVAL50)),
    _row(90, "dup2", KERN, "int", fd("from"), fd("to")),
    _row(92, "fcntl", KERN, "int", fd("fd"), int_("cmd"), ptr("arg")),
    _row(93, "compat_50_select", KERN, "int", int_("nd"), ptr("in"), ptr("ou"), ptr("ex"), ptr("tv"),
         like=Like("__select50", _TIMEVAL50, time.TIMEVAL50)),
    _row(95, "fsync", VFS, "int", fd("fd")),
    _row(98, "connect", NET, "int", fd("s"), in_("name", "namelen"), uint("namelen")),
    _row(104, "bind", NET, "int", fd("s"), in_("name", "namelen"), uint("namelen")),
    _row(106, "listen", NET, "int", fd("s"), int_("backlog")),
    _row(116, "compat_50_gettimeofday", KERN, "int", out_struct("tp", 16), ptr("tzp"),
         like=Like("__gettimeofday50", _TIMEVAL50, time.TIMEVAL50)),
    _row(120, "readv", KERN, "ssize_t", fd("fd"), ptr("iovp"), int_("iovcnt")),
    _row(121, "writev", KERN, "ssize_t", fd("fd"), ptr("iovp"), int_("iovcnt")),
    _row(122, "compat_50_settimeofday", KERN, "int", in_struct("tv", 16), ptr("tzp"),
         like=Like("__settimeofday50", _TIMEVAL50, time.timeval50)),
    _row(123, "fchown", VFS, "int", fd("fd"), uint("uid"), uint("gid")),
    _row(124, "fchmod", VFS, "int", fd("fd"), uint("mode")),
    _row(126, "setreuid", KERN, "int", uint("ruid"), uint("euid")),
    _row(127, "setregid", KERN, "int", uint("rgid"), uint("egid")),
    _row(128, "rename", VFS, "int", path("from"), path("to")),
    _row(131, "flock", KERN, "int", fd("fd"), int_("how")),
    _row(132, "mkfifo", VFS, "int", path("path"), uint("mode")),
    _row(134, "shutdown", NET, "int", fd("s"), int_("how")),
    _row(135, "socketpair", NET, "int", int_("domain"), int_("type"), int_("protocol"), out_struct("rsv", 8)),
    _row(136, "mkdir", VFS, "int", path("path"), uint("mode")),
    _row(137, "rmdir", VFS, "int", path("path")),
    _row(138, "compat_50_utimes", VFS, "int", path("path"), in_struct("tptr", 32),
         like=Like("__utimes50", _TIMEVAL50, time.timevals50)),
    _row(140, "compat_50_adjtime", KERN, "int", ptr("delta"), ptr("olddelta"),
         like=Like("__adjtime50", _TIMEVAL50, time.TIMEVAL50)),
    _row(147, "setsid", KERN, "int"),
    _row(173, "pread", VFS, "ssize_t", fd("fd"), out("buf", "nbyte"), ulong("nbyte"), PAD, off("offset")),
    _row(174, "pwrite", VFS, "ssize_t", fd("fd"), in_("buf", "nbyte"), ulong("nbyte"), PAD, off("offset")),
    _row(181, "setgid", KERN, "int", uint("gid")),
    _row(182, "setegid", KERN, "int", uint("egid")),
    _row(183, "seteuid", KERN, "int", uint("euid")),
    _row(188, "compat_12_stat12", VFS, "int", path("path"), out_struct("ub", 120),
         like=Like("__stat50", "struct stat12", stat.stat12)),
    _row(189, "compat_12_fstat12", KERN, "int", fd("fd"), out_struct("sb", 120),
         like=Like("__fstat50", "struct stat12", stat.stat12)),
    _row(190, "compat_12_lstat12", VFS, "int", path("path"), out_struct("ub", 120),
         like=Like("__lstat50", "struct stat12", stat.stat12)),
    _row(191, "pathconf", VFS, "long", path("path"), int_("name")),
    _row(192, "fpathconf", KERN, "long", fd("fd"), int_("name")),
    _row(194, "getrlimit", KERN, "int", int_("which"), out_struct("rlp", 16)),
    _row(195, "setrlimit", KERN, "int", int_("which"), in_struct("rlp", 16)),
    _row(199, "lseek", VFS, "off_t", fd("fd"), PAD, off("offset"), int_("whence")),
    _row(200, "truncate", VFS, "int", path("path"), PAD, off("length")),
    _row(201, "ftruncate", VFS, "int", fd("fd"), PAD, off("length")),
    _row(202, "__sysctl", KERN, "int", ptr("name"), uint("namelen"), ptr("oldv"), ptr("oldlenp"),
         ptr("newv"), ulong("newlen")),
    _row(206, "compat_50_futimes", VFS, "int", fd("fd"), in_struct("tptr", 32),
         like=Like("__futimes50", _TIMEVAL50, time.timevals50)),
    _row(207, "getpgid", KERN, "pid_t", int_("pid")),
    _row(208, "reboot", KERN, "int", int_("opt"), ptr("bootstr")),
    _row(209, "poll", KERN, "int", ptr("fds"), uint("nfds"), int_("timeout")),
    _row(232, "compat_50_clock_gettime", KERN, "int", int_("clock_id"), out_struct("tp", 16),
         like=Like("__clock_gettime50", _TIMESPEC50, time.to_timespec50)),
    _row(233, "compat_50_clock_settime", KERN, "int", int_("clock_id"), in_struct("tp", 16),
         like=Like("__clock_settime50", _TIMESPEC50, time.from_timespec50)),
    _row(234, "compat_50_clock_getres", KERN, "int", int_("clock_id"), out_struct("tp", 16),
         like=Like("__clock_getres50", _TIMESPEC50, time.TIMESPEC50)),
    _row(235, "timer_create", KERN, "int", int_("clock_id"), ptr("evp"), ptr("timerid")),
    _row(236, "timer_delete", KERN, "int", int_("timerid")),
    _row(237, "compat_50_timer_settime", KERN, "int", int_("timerid"), int_("flags"), ptr("value"),
         ptr("ovalue"), like=Like("__timer_settime50", "struct itimerspec50", time.ITIMERSPEC50)),
    _row(238, "compat_50_timer_gettime", KERN, "int", int_("timerid"), ptr("value"),
         like=Like("__timer_gettime50", "struct itimerspec50", time.ITIMERSPEC50)),
    _row(239, "timer_getoverrun", KERN, "int", int_("timerid")),
    _row(240, "compat_50_nanosleep", KERN, "int", ptr("rqtp"), ptr("rmtp"),
         like=Like("__nanosleep50", _TIMESPEC50, time.TIMESPEC50)),
    _row(241, "fdatasync", VFS, "int", fd("fd")),
    _row(246, "modctl", KERN, "int", int_("cmd"), ptr("arg")),
    _row(270, "__posix_rename", VFS, "int", path("from"), path("to")),
    _row(274, "lchmod", VFS, "int", path("path"), uint("mode")),
    _row(275, "lchown", VFS, "int", path("path"), uint("uid"), uint("gid")),
    _row(276, "compat_50_lutimes", VFS, "int", path("path"), in_struct("tptr", 32),
         like=Like("__lutimes50", _TIMEVAL50, time.timevals50)),
    _row(278, "compat_30___stat13", VFS, "int", path("path"), out_struct("ub", 128),
         like=Like("__stat50", "struct stat13", stat.stat13)),
    _row(279, "compat_30___fstat13", KERN, "int", fd("fd"), out_struct("sb", 128),
         like=Like("__fstat50", "struct stat13", stat.stat13)),
    _row(280, "compat_30___lstat13", VFS, "int", path("path"), out_struct("ub", 128),
         like=Like("__lstat50", "struct stat13", stat.stat13)),
    _row(283, "__posix_chown", VFS, "int", path("path"), uint("uid"), uint("gid")),
    _row(284, "__posix_fchown", VFS, "int", fd("fd"), uint("uid"), uint("gid")),
    _row(285, "__posix_lchown", VFS, "int", path("path"), uint("uid"), uint("gid")),
    _row(286, "getsid", KERN, "pid_t", int_("pid")),
    _row(288, "fktrace", KERN, "int", fd("fd"), int_("ops"), int_("facs"), int_("pid")),
    _row(289, "preadv", VFS, "ssize_t", fd("fd"), ptr("iovp"), int_("iovcnt"), PAD, off("offset")),
    _row(290, "pwritev", VFS, "ssize_t", fd("fd"), ptr("iovp"), int_("iovcnt"), PAD, off("offset")),
    _row(296, "__getcwd", VFS, "int", out("bufp", "length"), ulong("length")),
    _row(297, "fchroot", VFS, "int", fd("fd")),
    _row(304, "lchflags", VFS, "int", path("path"), ulong("flags")),
    _row(305, "issetugid", KERN, "int", noerr=True),
    _row(306, "utrace", KERN, "int", ptr("label"), ptr("addr"), ulong("len")),
    _row(344, "kqueue", KERN, "int"),
    _row(345, "compat_50_kevent", KERN, "int", fd("fd"), ptr("changelist"), ulong("nchanges"),
         ptr("eventlist"), ulong("nevents"), ptr("timeout"),
         like=Like("__kevent50", _TIMESPEC50, event.Abi(event.KEVENT.size, time.TIMESPEC50))),
    _row(354, "fsync_range", VFS, "int", fd("fd"), int_("flags"), off("start"), off("length")),
    _row(356, "getvfsstat", VFS, "int", ptr("buf"), ulong("bufsize"), int_("flags")),
    _row(357, "statvfs1", VFS, "int", path("path"), out_struct("buf", 2256), int_("flags")),
    _row(358, "fstatvfs1", VFS, "int", fd("fd"), out_struct("buf", 2256), int_("flags")),
    _row(360, "extattrctl", VFS, "int", path("path"), int_("cmd"), path("filename"), int_("attrnamespace"),
         ptr("attrname")),
    _row(361, "extattr_set_file", VFS, "int", path("path"), int_("attrnamespace"), ptr("attrname"),
         ptr("data"), ulong("nbytes")),
    _row(362, "extattr_get_file", VFS, "ssize_t", path("path"), int_("attrnamespace"), ptr("attrname"),
         ptr("data"), ulong("nbytes")),
    _row(363, "extattr_delete_file", VFS, "int", path("path"), int_("attrnamespace"), ptr("attrname")),
    _row(364, "extattr_set_fd", VFS, "int", fd("fd"), int_("attrnamespace"), ptr("attrname"), ptr("data"),
         ulong("nbytes")),
    _row(365, "extattr_get_fd", VFS, "ssize_t", fd("fd"), int_("attrnamespace"), ptr("attrname"),
         ptr("data"), ulong("nbytes")),
    _row(366, "extattr_delete_fd", VFS, "int", fd("fd"), int_("attrnamespace"), ptr("attrname")),
    _row(367, "extattr_set_link", VFS, "int", path("path"), int_("attrnamespace"), ptr("attrname"),
         ptr("data"), ulong("nbytes")),
    _row(368, "extattr_get_link", VFS, "ssize_t", path("path"), int_("attrnamespace"), ptr("attrname"),
         ptr("data"), ulong("nbytes")),
    _row(369, "extattr_delete_link", VFS, "int", path("path"), int_("attrnamespace"), ptr("attrname")),
    _row(370, "extattr_list_fd", VFS, "ssize_t", fd("fd"), int_("attrnamespace"), ptr("data"),
         ulong("nbytes")),
    _row(371, "extattr_list_file", VFS, "ssize_t", path("path"), int_("attrnamespace"), ptr("data"),
         ulong("nbytes")),
    _row(372, "extattr_list_link", VFS, "ssize_t", path("path"), int_("attrnamespace"), ptr("data"),
         ulong("nbytes")),
    _row(373, "compat_50_pselect", KERN, "int", int_("nd"), ptr("in"), ptr("ou"), ptr("ex"), ptr("ts"),
         ptr("mask"), like=Like("__pselect50", _TIMESPEC50, time.TIMESPEC50)),
    _row(374, "compat_50_pollts", KERN, "int", ptr("fds"), uint("nfds"), ptr("ts"), ptr("mask"),
         like=Like("__pollts50", _TIMESPEC50, time.TIMESPEC50)),
    _row(375, "setxattr", VFS, "int", path("path"), ptr("name"), ptr("value"), ulong("size"), int_("flags")),
    _row(376, "lsetxattr", VFS, "int", path("path"), ptr("name"), ptr("value"), ulong("size"), int_("flags")),
    _row(377, "fsetxattr", VFS, "int", fd("fd"), ptr("name"), ptr("value"), ulong("size"), int_("flags")),
    _row(378, "getxattr", VFS, "int", path("path"), ptr("name"), ptr("value"), ulong("size")),
    _row(379, "lgetxattr", VFS, "int", path("path"), ptr("name"), ptr("value"), ulong("size")),
    _row(380, "fgetxattr", VFS, "int", fd("fd"), ptr("name"), ptr("value"), ulong("size")),
    _row(381, "listxattr", VFS, "int", path("path"), ptr("list"), ulong("size")),
    _row(382, "llistxattr", VFS, "int", path("path"), ptr("list"), ulong("size")),
    _row(383, "flistxattr", VFS, "int", fd("fd"), ptr("list"), ulong("size")),
    _row(384, "removexattr", VFS, "int", path("path"), ptr("name")),
    _row(385, "lremovexattr", VFS, "int", path("path"), ptr("name")),
    _row(386, "fremovexattr", VFS, "int", fd("fd"), ptr("name")),
    _row(387, "compat_50___stat30", VFS, "int", path("path"), out_struct("ub", 136),
         like=Like("__stat50", _STAT30, stat.stat30)),
    _row(388, "compat_50___fstat30", KERN, "int", fd("fd"), out_struct("sb", 136),
         like=Like("__fstat50", _STAT30, stat.stat30)),
    _row(389, "compat_50___lstat30", VFS, "int", path("path"), out_struct("ub", 136),
         like=Like("__lstat50", _STAT30, stat.stat30)),
    _row(390, "__getdents30", VFS, "int", fd("fd"), out("buf", "count"), ulong("count")),
    _row(394, "__socket30", NET, "int", int_("domain"), int_("type"), int_("protocol")),
    _row(395, "__getfh30", VFS, "int", path("fname"), ptr("fhp"), ptr("fh_size")),
    _row(396, "__fhopen40", VFS, "int", ptr("fhp"), ulong("fh_size"), int_("flags")),
    _row(397, "__fhstatvfs140", VFS, "int", ptr("fhp"), ulong("fh_size"), out_struct("buf", 2256),
         int_("flags")),
    _row(398, "compat_50___fhstat40", VFS, "int", ptr("fhp"), ulong("fh_size"), out_struct("sb", 136),
         like=Like("__fhstat50", _STAT30, stat.stat30)),
    _row(410, "__mount50", VFS, "int", ptr("type"), ptr("path"), int_("flags"), ptr("data"),
         ulong("data_len")),
    _row(416, "__posix_fadvise50", KERN, "int", fd("fd"), PAD, off("offset"), off("len"), int_("advice"),
         noerr=True),
    _row(417, "__select50", KERN, "int", int_("nd"), ptr("in"), ptr("ou"), ptr("ex"), ptr("tv")),
    _row(418, "__gettimeofday50", KERN, "int", out_struct("tp", 16), ptr("tzp")),
    _row(419, "__settimeofday50", KERN, "int", in_struct("tv", 16), ptr("tzp")),
    _row(420, "__utimes50", VFS, "int", path("path"), in_struct("tptr", 32)),
    _row(421, "__adjtime50", KERN, "int", ptr("delta"), ptr("olddelta")),
    _row(423, "__futimes50", VFS, "int", fd("fd"), in_struct("tptr", 32)),
    _row(424, "__lutimes50", VFS, "int", path("path"), in_struct("tptr", 32)),
    _row(425, "__setitimer50", KERN, "int", int_("which"), ptr("itv"), ptr("oitv")),
    _row(426, "__getitimer50", KERN, "int", int_("which"), ptr("itv")),
    _row(427, "__clock_gettime50", KERN, "int", int_("clock_id"), out_struct("tp", 16)),
    _row(428, "__clock_settime50", KERN, "int", int_("clock_id"), in_struct("tp", 16)),
    _row(429, "__clock_getres50", KERN, "int", int_("clock_id"), out_struct("tp", 16)),
    _row(430, "__nanosleep50", KERN, "int", ptr("rqtp"), ptr("rmtp")),
    _row(435, "__kevent50", KERN, "int", fd("fd"), ptr("changelist"), ulong("nchanges"), ptr("eventlist"),
         ulong("nevents"), ptr("timeout")),
    _row(436, "__pselect50", KERN, "int", int_("nd"), ptr("in"), ptr("ou"), ptr("ex"), ptr("ts"),
         ptr("mask")),
    _row(437, "__pollts50", KERN, "int", ptr("fds"), uint("nfds"), ptr("ts"), ptr("mask")),
    _row(439, "__stat50", VFS, "int", path("path"), out_struct("ub", 152)),
    _row(440, "__fstat50", KERN, "int", fd("fd"), out_struct("sb", 152)),
    _row(441, "__lstat50", VFS, "int", path("path"), out_struct("ub", 152)),
    _row(446, "__timer_settime50", KERN, "int", int_("timerid"), int_("flags"), ptr("value"), ptr("ovalue")),
    _row(447, "__timer_gettime50", KERN, "int", int_("timerid"), ptr("value")),
    _row(450, "__mknod50", VFS, "int", path("path"), uint("mode"), ulong("dev")),
    _row(451, "__fhstat50", VFS, "int", ptr("fhp"), ulong("fh_size"), out_struct("sb", 152)),
    _row(453, "pipe2", KERN, "int", ptr("fildes"), int_("flags")),
    _row(454, "dup3", KERN, "int", fd("from"), fd("to"), int_("flags")),
    _row(455, "kqueue1", KERN, "int", int_("flags")),
    _row(457, "linkat", VFS, "int", int_("fd1"), path("name1"), int_("fd2"), path("name2"), int_("flags")),
    _row(458, "renameat", VFS, "int", int_("fromfd"), path("from"), int_("tofd"), path("to")),
    _row(459, "mkfifoat", VFS, "int", fd("fd"), path("path"), uint("mode")),
    _row(460, "mknodat", VFS, "int", fd("fd"), path("path"), uint("mode"), PAD, ulong("dev")),
    _row(461, "mkdirat", VFS, "int", fd("fd"), path("path"), uint("mode")),
    _row(462, "faccessat", VFS, "int", fd("fd"), path("path"), int_("amode"), int_("flag")),
    _row(463, "fchmodat", VFS, "int", fd("fd"), path("path"), uint("mode"), int_("flag")),
    _row(464, "fchownat", VFS, "int", fd("fd"), path("path"), uint("owner"), uint("group"), int_("flag")),
    _row(466, "fstatat", VFS, "int", fd("fd"), path("path"), out_struct("buf", 152), int_("flag")),
    _row(467, "utimensat", VFS, "int", fd("fd"), path("path"), in_struct("tptr", 32), int_("flag")),
    _row(468, "openat", VFS, "int", fd("fd"), path("path"), int_("oflags"), uint("mode")),
    _row(469, "readlinkat", VFS, "ssize_t", fd("fd"), path("path"), out("buf", "bufsize"), ulong("bufsize")),
    _row(470, "symlinkat", VFS, "int", path("path1"), fd("fd"), path("path2")),
    _row(471, "unlinkat", VFS, "int", fd("fd"), path("path"), int_("flag")),
    _row(472, "futimens", VFS, "int", fd("fd"), in_struct("tptr", 32)),
    _row(473, "__quotactl", VFS, "int", path("path"), ptr("args")),
    _row(477, "clock_nanosleep", KERN, "int", int_("clock_id"), int_("flags"), ptr("rqtp"), ptr("rmtp"),
         noerr=True),
    _row(479, "posix_fallocate", VFS, "int", fd("fd"), PAD, off("pos"), off("len"), noerr=True),
    _row(480, "fdiscard", VFS, "int", fd("fd"), PAD, off("pos"), off("len")),
    _row(482, "clock_getcpuclockid2", KERN, "int", int_("idtype"), int_("id"), ptr("clock_id")),
    _row(483, "__getvfsstat90", VFS, "int", ptr("buf"), ulong("bufsize"), int_("flags")),
    _row(484, "__statvfs190", VFS, "int", path("path"), out_struct("buf", 3296), int_("flags")),
    _row(485, "__fstatvfs190", VFS, "int", fd("fd"), out_struct("buf", 3296), int_("flags")),
    _row(486, "__fhstatvfs190", VFS, "int", ptr("fhp"), ulong("fh_size"), out_struct("buf", 3296),
         int_("flags")),
    _row(499, "lpathconf", VFS, "long", path("path"), int_("name")),
    _row(501, "__kevent100", KERN, "int", fd("fd"), ptr("changelist"), ulong("nchanges"), ptr("eventlist"),
         ulong("nevents"), ptr("timeout"),
         like=Like("__kevent50", "NetBSD 10's struct kevent", event.Abi(event.KEVENT100_SIZE, time.TIMESPEC))),
    _row(505, "__dup3100", KERN, "int", fd("from"), fd("to"), int_("flags")),
)
# fmt: on

BY_NAME: Final[dict[str, Syscall]] = {row.name: row for row in SYSCALLS}
BY_NUMBER: Final[dict[int, Syscall]] = {row.number: row for row in SYSCALLS}
