"""What arguments and results of system calls mean to a reader: which flags, which structure, how many.

This stands beside the table of calls (`rumpfs.abi.syscalls`), whose kinds say how an argument travels. A
style here says how its value is shown: a number in some form, or what lies at the address. Arguments that
nothing is said of are numbers, paths and buffers as their kind has it, and plain addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from types import ModuleType
from typing import Final, NamedTuple, TypeAlias

from rumpfs.abi import (
    event,
    extattr,
    fcntl,
    ioctl,
    limits,
    module,
    mount,
    poll,
    signal,
    socket,
    stat,
    sysctl,
    time,
)
from rumpfs.abi.syscalls import Syscall

# --- numbers ----------------------------------------------------------------------------------------


class Base(NamedTuple):
    """A number that is written by this format."""

    format: str


class Signed(NamedTuple):
    """A signed number, of which -1 has a meaning, in so many bits; some values may have names."""

    bits: int = 32
    names: Mapping[int, str] = {}


class Choice(NamedTuple):
    """One of several named values."""

    names: Mapping[int, str]


class Bits(NamedTuple):
    """Named bits; those of `mask` are one number with names of its own; bits without a name are a number."""

    names: Mapping[int, str]
    mask: int = 0
    values: Mapping[int, str] = {}
    rest: str = "#x"


# --- memory -----------------------------------------------------------------------------------------


class Text(NamedTuple):
    """A string that ends with a NUL, or with its field."""


class Data(NamedTuple):
    """Bytes; `size` is the argument or field that holds their number, or is empty."""

    size: str = ""


class Layout(NamedTuple):
    """A structure: its layout, and names and styles of its fields; those without a name are not shown."""

    code: Struct
    fields: tuple[tuple[str, Style | None], ...]


class Array(NamedTuple):
    """As many structures or numbers as argument `counter` says, or as there are or numbers."""

    element: Layout | Struct
    counter: str = ""


class Mib(NamedTuple):
    """The name of a sysctl(3) node: `counter` numbers; `names` has those of the second level by the first."""

    counter: str
    names: Mapping[int, Mapping[int, str]]


class Dirents(NamedTuple):
    """What getdents(2) returns."""


class Fdset(NamedTuple):
    """A set of descriptors; `counter` holds how many are looked at."""

    counter: str


class By(NamedTuple):
    """What it is depends on the value of argument `name`: a number, or the text of a string."""

    name: str
    styles: Mapping[int | bytes, Style]
    other: Style | None = None


Style: TypeAlias = Base | Signed | Choice | Bits | Text | Data | Layout | Array | Mib | Dirents | Fdset | By


# --- names ------------------------------------------------------------------------------------------


def names_of(owner: ModuleType, prefix: str, *without: str) -> dict[int, str]:
    """Return value -> name of the numbers of a module whose names begin with `prefix`."""
    return {
        value: name
        for name, value in vars(owner).items()
        if name.startswith(prefix) and name not in without and isinstance(value, int)
    }


def layout(code: Struct, names: str, **styles: Style) -> Layout:
    """Return the layout of a structure; a name with a minus before it is a field that is not shown."""
    fields = names.split()
    return Layout(code, tuple(("", None) if name[0] == "-" else (name, styles.get(name)) for name in fields))


OCTAL: Final = Base("03o")
HEX: Final = Base("#x")
ID: Final = Signed()
_ACCMODE: Final = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}
OPEN: Final = Bits(names_of(fcntl, "O_", "O_ACCMODE", *_ACCMODE.values()), fcntl.O_ACCMODE, _ACCMODE)
FILEMODE: Final = Bits({}, stat.S_IFMT, names_of(stat, "S_IF", "S_IFMT"), "03o")
DIRFD: Final = Signed(32, {fcntl.AT_FDCWD: "AT_FDCWD"})
_AT: Final = Bits(names_of(fcntl, "AT_", "AT_FDCWD"))
_FD: Final = Bits(names_of(fcntl, "FD_"))
_ACCESS: Final = Bits({fcntl.R_OK: "R_OK", fcntl.W_OK: "W_OK", fcntl.X_OK: "X_OK"})
_SEEK: Final = Choice(names_of(fcntl, "SEEK_"))
_FLOCK: Final = Bits(names_of(fcntl, "LOCK_"))
_FSYNC: Final = Bits({value: name for value, name in names_of(fcntl, "F").items() if name.endswith("SYNC")})
_LOCKS: Final = {fcntl.F_RDLCK: "F_RDLCK", fcntl.F_UNLCK: "F_UNLCK", fcntl.F_WRLCK: "F_WRLCK"}
_FSCTL: Final = [name for name in vars(fcntl) if name.startswith(("F_FS", "F_PARAM_"))]
_FCNTL: Final = Choice(names_of(fcntl, "F_", "F_OK", *_LOCKS.values(), *_FSCTL))
_LOCK: Final = layout(
    fcntl.FLOCK,
    "l_start l_len l_pid l_type l_whence",
    l_type=Choice(_LOCKS),
    l_whence=_SEEK,
)
MOUNT: Final = Bits(names_of(mount, "MNT_", "MNT_BASIC_FLAGS", "MNT_VISFLAGMASK", "MNT_WAIT", "MNT_NOWAIT"))
_WAIT: Final = Choice({mount.MNT_WAIT: "ST_WAIT", mount.MNT_NOWAIT: "ST_NOWAIT"})
_PATHCONF: Final = Choice({value: f"_{name}" for value, name in names_of(limits, "PC_").items()})
_RLIMIT: Final = Choice(names_of(limits, "RLIMIT_"))
_CLOCK: Final = Choice(names_of(time, "CLOCK_"))
_TIMER: Final = Bits({time.TIMER_ABSTIME: "TIMER_ABSTIME"})
_ITIMER: Final = Choice(names_of(time, "ITIMER_"))
_REBOOT: Final = Bits(names_of(limits, "RB_"))
_MODCTL: Final = Choice(names_of(limits, "MODCTL_", "MODCTL_LOAD_FORCE"))
_IOCTL: Final = Choice(
    {value: name for prefix in ("FIO", "TIOC", "DIOC") for value, name in names_of(ioctl, prefix).items()}
)
_EXTATTR: Final = Choice(names_of(extattr, "EXTATTR_NAMESPACE_"))
_XATTR: Final = Bits(names_of(extattr, "XATTR_"))
_POLL: Final = Bits(names_of(poll, "POLL", "POLLWRNORM"))

# --- structures -------------------------------------------------------------------------------------

_STAT_IDS: Final = "st_nlink st_uid st_gid -rdev "
_STAT_TIMES: Final = "-atime -atimensec -mtime -mtimensec -ctime -ctimensec "
_STAT_REST: Final = "st_size -blocks -blksize -flags -gen "
_BIRTH: Final = "-birthtime -birthtimensec "
_STAT_NAMES: Final = "-dev st_mode st_ino " + _STAT_IDS + _STAT_TIMES + _BIRTH + _STAT_REST
_STAT: Final = layout(stat.STAT, _STAT_NAMES, st_mode=FILEMODE)
_STAT30: Final = layout(stat.STAT30, _STAT_NAMES, st_mode=FILEMODE)
_STAT_NAMES13: Final = "-dev st_ino st_mode " + _STAT_IDS + _STAT_TIMES + _STAT_REST
_STAT13: Final = layout(stat.STAT13, _STAT_NAMES13 + _BIRTH, st_mode=FILEMODE)
_STAT12: Final = layout(stat.STAT12, _STAT_NAMES13, st_mode=FILEMODE)
_STATVFS_NUMBERS: Final = (
    "f_flag f_bsize -frsize -iosize f_blocks f_bfree -bavail -bresvd f_files f_ffree -favail -fresvd "
    "-syncreads -syncwrites -asyncreads -asyncwrites -fsidx -fsid -namemax -owner "
)
_STATVFS_STYLES: Final[dict[str, Style]] = {
    "f_flag": MOUNT,
    "f_fstypename": Text(),
    "f_mntonname": Text(),
    "f_mntfromname": Text(),
}
_STATVFS: Final = layout(
    stat.STATVFS, _STATVFS_NUMBERS + "f_fstypename f_mntonname f_mntfromname", **_STATVFS_STYLES
)
_STATVFS_100: Final = layout(
    stat.STATVFS_100, _STATVFS_NUMBERS + "f_fstypename f_mntonname f_mntfromname -label", **_STATVFS_STYLES
)
_TIMESPEC_NAMES: Final = "tv_sec tv_nsec"
_TIMEVAL_NAMES: Final = "tv_sec tv_usec"
_ITIMERVAL_NAMES: Final = "it_interval.tv_sec it_interval.tv_usec it_value.tv_sec it_value.tv_usec"
_ITIMERSPEC_NAMES: Final = "it_interval.tv_sec it_interval.tv_nsec it_value.tv_sec it_value.tv_nsec"
_TIMESPEC: Final = layout(time.TIMESPEC, _TIMESPEC_NAMES)
_TIMEVAL: Final = layout(time.TIMEVAL, _TIMEVAL_NAMES)
_ITIMERVAL: Final = layout(time.ITIMERVAL, _ITIMERVAL_NAMES)
_ITIMERSPEC: Final = layout(time.ITIMERSPEC, _ITIMERSPEC_NAMES)
_RLIMIT_STRUCT: Final = layout(
    Struct("<QQ"),
    "rlim_cur rlim_max",
    rlim_cur=(infinite := Signed(64, {limits.RLIM_INFINITY: "RLIM_INFINITY"})),
    rlim_max=infinite,
)
_SIGEVENT: Final = layout(
    time.SIGEVENT,
    "sigev_notify sigev_signo sigev_value -function -attributes",
    sigev_notify=Choice(names_of(time, "SIGEV_")),
    sigev_signo=Choice(signal.NAMES),
    sigev_value=HEX,
)
_IOVEC: Final = layout(Struct("<QQ"), "iov_base iov_len", iov_base=Data("iov_len"))
_POLLFD: Final = layout(poll.POLLFD, "fd events revents", events=_POLL, revents=_POLL)
_KEVENT_NAMES: Final = "ident filter flags fflags data udata"
_KEVENT_STYLES: Final[dict[str, Style]] = {
    "filter": Choice(names_of(event, "EVFILT_")),
    "flags": Bits(names_of(event, "EV_", "EV_SYSFLAGS")),
    "fflags": HEX,
    "udata": HEX,
}
_KEVENT: Final = layout(event.KEVENT, _KEVENT_NAMES, **_KEVENT_STYLES)
_KEVENT100: Final = layout(
    Struct(f"{event.KEVENT.format}{event.KEVENT100_SIZE - event.KEVENT.size}x"),
    _KEVENT_NAMES,
    **_KEVENT_STYLES,
)
_UFS_ARGS: Final = layout(mount.UFS_ARGS, "fspec", fspec=Text())
_TMPFS_ARGS: Final = layout(
    mount.TMPFS_ARGS,
    "ta_version ta_nodes_max ta_size_max ta_root_uid ta_root_gid ta_root_mode",
    ta_root_mode=OCTAL,
)
_MODLOAD: Final = layout(
    module.MODCTL_LOAD_ARGS,
    "ml_filename ml_flags ml_props ml_propslen",
    ml_filename=Text(),
    ml_flags=Bits({limits.MODCTL_LOAD_FORCE: "MODCTL_LOAD_FORCE"}),
)
_INT: Final = Struct("<i")
_SIZE: Final = Struct("<Q")
_PROCS: Final = [name for name in vars(sysctl) if name.startswith("KERN_PROC_")]
_MIB: Final = Mib(
    "namelen",
    {
        sysctl.CTL_KERN: names_of(sysctl, "KERN_", *_PROCS),
        sysctl.CTL_HW: names_of(sysctl, "HW_"),
        sysctl.CTL_VFS: names_of(sysctl, "VFS_"),
    },
)
#: names of the first and the last number of a sysctl(3) name
CTL: Final = names_of(sysctl, "CTL_", "CTL_MAXNAME")

# --- which argument has which -----------------------------------------------------------------------

#: style -> the arguments that have it, as CALL.ARGUMENT, or ARGUMENT for all that have this name
_STYLES: Final[tuple[tuple[Style, str], ...]] = (
    (OCTAL, "mode newmask"),
    (FILEMODE, "__mknod50.mode mknodat.mode"),
    (ID, "uid gid ruid euid rgid egid owner group"),
    (HEX, "dev chflags.flags fchflags.flags lchflags.flags"),
    (
        OPEN,
        "open.flags openat.oflags __fhopen40.flags pipe2.flags dup3.flags __dup3100.flags kqueue1.flags",
    ),
    (
        DIRFD,
        "fd1 fd2 fromfd tofd mkfifoat.fd mknodat.fd mkdirat.fd faccessat.fd fchmodat.fd fchownat.fd "
        "fstatat.fd utimensat.fd openat.fd readlinkat.fd symlinkat.fd unlinkat.fd",
    ),
    (_AT, "flag linkat.flags"),
    (_ACCESS, "access.flags faccessat.amode"),
    (_SEEK, "whence"),
    (_FLOCK, "flock.how"),
    (_FSYNC, "fsync_range.flags"),
    (_FCNTL, "fcntl.cmd"),
    (
        By(
            "cmd",
            {
                fcntl.F_SETFD: _FD,
                fcntl.F_SETFL: OPEN,
                fcntl.F_GETLK: _LOCK,
                fcntl.F_SETLK: _LOCK,
                fcntl.F_SETLKW: _LOCK,
            },
            ID,
        ),
        "fcntl.arg",
    ),
    (_IOCTL, "ioctl.com"),
    (Data(), "ioctl.data __sysctl.oldv"),
    (MOUNT, "__mount50.flags unmount.flags"),
    (Text(), "__mount50.type __mount50.path attrname __setlogin.namebuf __getlogin.namebuf label bootstr"),
    (
        Text(),
        " ".join(f"{link}{verb}xattr.name" for verb in ("set", "get", "remove") for link in ("", "l", "f")),
    ),
    (
        By("type", {b"tmpfs": _TMPFS_ARGS, **dict.fromkeys((b"ffs", b"lfs", b"ext2fs"), _UFS_ARGS)}),
        "__mount50.data",
    ),
    (_WAIT, "getvfsstat.flags __getvfsstat90.flags"),
    (
        _WAIT,
        "statvfs1.flags fstatvfs1.flags __fhstatvfs140.flags __statvfs190.flags __fstatvfs190.flags "
        "__fhstatvfs190.flags",
    ),
    (Array(_STATVFS), "getvfsstat.buf"),
    (Array(_STATVFS_100), "__getvfsstat90.buf"),
    (_STATVFS, "statvfs1.buf fstatvfs1.buf __fhstatvfs140.buf"),
    (_STATVFS_100, "__statvfs190.buf __fstatvfs190.buf __fhstatvfs190.buf"),
    (_STAT, "ub sb fstatat.buf"),
    (Dirents(), "__getdents30.buf"),
    (_PATHCONF, "pathconf.name fpathconf.name lpathconf.name"),
    (_RLIMIT, "getrlimit.which setrlimit.which"),
    (_RLIMIT_STRUCT, "rlp"),
    (_CLOCK, "clock_id"),
    (_TIMER, "__timer_settime50.flags clock_nanosleep.flags"),
    (_TIMEVAL, "tv delta olddelta __gettimeofday50.tp"),
    (_TIMESPEC, "ts timeout rqtp rmtp __clock_gettime50.tp __clock_settime50.tp __clock_getres50.tp"),
    (Array(_TIMEVAL), "tptr"),
    (Array(_TIMESPEC), "utimensat.tptr futimens.tptr"),
    (Signed(), "poll.timeout"),
    (_ITIMERVAL, "itv oitv"),
    (_ITIMERSPEC, "__timer_settime50.value ovalue __timer_gettime50.value"),
    (Array(_IOVEC, "iovcnt"), "iovp"),
    (Array(_POLLFD, "nfds"), "fds"),
    (Fdset("nd"), "in ou ex"),
    (Array(_KEVENT, "nchanges"), "changelist"),
    (Array(_KEVENT), "eventlist"),
    (_MIB, "__sysctl.name"),
    (Array(_SIZE), "oldlenp fh_size"),
    (Data("newlen"), "newv"),
    (Data("fh_size"), "fhp"),
    (Data("nbytes"), "data"),
    (Data("size"), "value list"),
    (Array(Struct("<I"), "gidsetsize"), "gidset"),
    (Array(_INT), "fildes timerid"),
    (_REBOOT, "opt"),
    (_MODCTL, "modctl.cmd"),
    (
        By(
            "cmd",
            {limits.MODCTL_LOAD: _MODLOAD, limits.MODCTL_UNLOAD: Text(), limits.MODCTL_STAT: _IOVEC},
        ),
        "modctl.arg",
    ),
    (_EXTATTR, "attrnamespace"),
    (_XATTR, "setxattr.flags lsetxattr.flags fsetxattr.flags"),
    (_ITIMER, "__setitimer50.which __getitimer50.which"),
    (_SIGEVENT, "evp"),
    (Choice(names_of(socket, "SHUT_")), "shutdown.how"),
    (Array(_INT), "rsv"),
)

#: style by CALL.ARGUMENT or ARGUMENT
BY_ARGUMENT: Final[dict[str, Style]] = {key: style for style, keys in _STYLES for key in keys.split()}

#: what differs in an earlier or later version of a call (`Like.structure`): the structure here, and there
_VERSIONS: Final = (
    ("struct stat12", _STAT, _STAT12),
    ("struct stat13", _STAT, _STAT13),
    ("struct stat30", _STAT, _STAT30),
    ("struct timespec50", _TIMESPEC, layout(time.TIMESPEC50, _TIMESPEC_NAMES)),
    ("struct timeval50", _TIMEVAL, layout(time.TIMEVAL50, _TIMEVAL_NAMES)),
    ("struct itimerspec50", _ITIMERSPEC, layout(time.ITIMERSPEC50, _ITIMERSPEC_NAMES)),
    ("struct itimerval50", _ITIMERVAL, layout(time.ITIMERVAL50, _ITIMERVAL_NAMES)),
    ("NetBSD 10's struct kevent", _KEVENT, _KEVENT100),
)


def style_of(row: Syscall, argument: str) -> Style | None:
    """Return the style of an argument of a call: its own, or that of the call which it is like."""
    name = row.name if row.like is None else row.like.name
    style = BY_ARGUMENT.get(f"{name}.{argument}", BY_ARGUMENT.get(argument))
    style = BY_ARGUMENT.get(f"{row.name}.{argument}", style)
    if row.like is None:
        return style
    element = style.element if isinstance(style, Array) else style
    for structure, present, other in _VERSIONS:
        if structure == row.like.structure and element is present:
            return style._replace(element=other) if isinstance(style, Array) else other
    return style


#: style of a result, by call
BY_RESULT: Final[dict[str, Style]] = {
    "umask": OCTAL,
    "fcntl": By("cmd", {fcntl.F_GETFL: OPEN, fcntl.F_GETFD: _FD}),
}
