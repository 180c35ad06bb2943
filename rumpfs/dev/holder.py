"""Who holds the lock of a host file, as far as the host says (proc_locks(5))."""

from __future__ import annotations

import os
from contextlib import suppress

_LOCKS = "/proc/locks"
#: bytes of a command line that are shown
_COMMAND_MAX = 500


def holder(fd: int) -> str:
    """Return who has locked an open file with flock(2): process number and command; empty if unknown."""
    facts = os.fstat(fd)
    where = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError), open(_LOCKS, encoding="ascii", errors="replace") as locks:
        for line in locks:
            words = line.split()
            # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF; who waits has an arrow behind the number
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == where and words[4].isdecimal():
                return f"{words[4]} ({command(int(words[4]))})"
    return ""


def command(pid: int) -> str:
    """Return the command line of a process, or what the host says in its place."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(_COMMAND_MAX).rstrip(b"\0").split(b"\0")
    except OSError as error:
        return str(error.strerror)
    if len(words) > 1 and os.path.basename(words[0]).startswith(b"python"):
        del words[0]
    words[0] = os.path.basename(words[0])
    return os.fsdecode(b" ".join(words))
