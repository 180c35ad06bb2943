"""Limits, pathconf names, signals, reboot flags and other small numbers of the ABI."""

from __future__ import annotations

from typing import Final

# sys/sys/syslimits.h, sys/sys/param.h
PATH_MAX: Final = 1024
NAME_MAX: Final = 255  # the kernel's limit for a component; the header says 511
LINK_MAX: Final = 32767
PIPE_BUF: Final = 512
MAX_CANON: Final = 255
MAX_INPUT: Final = 255
POSIX_VDISABLE: Final = 0xFF  # sys/sys/termios.h
IOV_MAX: Final = 1024
OPEN_MAX: Final = 128
MAXSYMLINKS: Final = 32
MAXCOMLEN: Final = 16
SSIZE_MAX: Final = 2**63 - 1
ARG_MAX: Final = 256 * 1024
LOGIN_NAME_MAX: Final = 17
NGROUPS_MAX: Final = 16
MAXHOSTNAMELEN: Final = 256
MAXPHYS: Final = 65536
PAGE_SIZE: Final = 4096

# sys/sys/unistd.h: pathconf(2)
PC_LINK_MAX: Final = 1
PC_MAX_CANON: Final = 2
PC_MAX_INPUT: Final = 3
PC_NAME_MAX: Final = 4
PC_PATH_MAX: Final = 5
PC_PIPE_BUF: Final = 6
PC_CHOWN_RESTRICTED: Final = 7
PC_NO_TRUNC: Final = 8
PC_VDISABLE: Final = 9
PC_SYNC_IO: Final = 10
PC_FILESIZEBITS: Final = 11
PC_SYMLINK_MAX: Final = 12
PC_2_SYMLINKS: Final = 13

# sys/sys/signal.h
SIGSYS: Final = 12
SIGPIPE: Final = 13
SIGALRM: Final = 14
SIGIO: Final = 23
SIGXFSZ: Final = 25
SIGVTALRM: Final = 26
SIGPROF: Final = 27
NSIG: Final = 64

# sys/sys/resource.h
RLIMIT_FSIZE: Final = 1
RLIMIT_STACK: Final = 3
RLIMIT_NPROC: Final = 7
RLIMIT_NOFILE: Final = 8
RLIMIT_NTHR: Final = 11
RLIM_NLIMITS: Final = 12
RLIM_INFINITY: Final = 2**63 - 1

# sys/sys/reboot.h
RB_NOSYNC: Final = 0x4
RB_HALT: Final = 0x8
RB_DUMP: Final = 0x100
RB_STRING: Final = 0x400

# sys/sys/module.h
MODCTL_LOAD: Final = 0
MODCTL_UNLOAD: Final = 1
MODCTL_STAT: Final = 2
MODCTL_EXISTS: Final = 3
MODCTL_LOAD_FORCE: Final = 1
MAXMODNAME: Final = 32
