"""The state machine: operations drawn by Hypothesis, done to two subjects in step, and compared."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from rumpfs.abi import errno, fcntl
from rumpfs.base.errors import VfsError
from rumpfs.client import RumpError

NAMES = st.sampled_from(["a", "b", "c", "d"])
LONG = "x" * 256
PERMS = st.sampled_from([0o777, 0o700, 0o640, 0o000])
DATA = st.sampled_from([b"", b"x", b"hello", bytes(range(256)) * 20, b"\0" * 4096, b"y" * 70000])
OFFSETS = st.sampled_from([0, 1, 5, 4095, 4096, 10000, 65536, 200000])
LENGTHS = st.sampled_from([-1, 0, 1, 3, 4096, 5000, 70000, 150000])


@st.composite
def paths(draw: Any, dots: bool = True) -> str:
    """A path of one to four components; it and every link in it never lead above where it starts."""
    parts: list[str] = []
    depth = 0
    for _ in range(draw(st.integers(0, 3))):
        choice = draw(st.integers(0, 9))
        if choice == 0:
            parts.append(".")
        elif choice == 1 and depth:
            parts.append("..")
            depth -= 1
        else:
            parts.append(draw(NAMES))
            depth += 1
    last = draw(st.integers(0, 29)) if dots else 29
    if last == 0:
        parts.append(".")
    elif last == 1 and depth:
        parts.append("..")
    elif last == 2:
        parts.append(LONG)
    else:
        parts.append(draw(NAMES))
    return "/".join(parts)


#: texts of symbolic links name nothing above the link's own directory
TEXTS = st.lists(NAMES, min_size=1, max_size=2).map("/".join)


@st.composite
def open_flags(draw: Any) -> int:
    """Flags whose combination has one meaning everywhere."""
    flags: int = draw(st.sampled_from([fcntl.O_RDONLY, fcntl.O_WRONLY, fcntl.O_RDWR, fcntl.O_RDWR]))
    if draw(st.booleans()):
        flags |= fcntl.O_CREAT
        flags |= fcntl.O_EXCL if draw(st.integers(0, 3)) == 0 else 0
    elif draw(st.integers(0, 4)) == 0:
        return fcntl.O_DIRECTORY
    elif draw(st.integers(0, 4)) == 0:
        flags |= fcntl.O_NOFOLLOW
    if flags & fcntl.O_ACCMODE:
        flags |= draw(st.sampled_from([0, 0, fcntl.O_APPEND, fcntl.O_TRUNC]))
    return flags


Outcome = tuple[str, Any]


def outcome(subject: Any, operation: str, args: tuple[Any, ...]) -> Outcome:
    """Do an operation; return ("ok", value) or ("error", name of the error)."""
    try:
        return "ok", getattr(subject, operation)(*args)
    except VfsError as error:
        return "error", errno.NAMES[error.errno]
    except RumpError as error:
        return "error", errno.NAMES[error.netbsd_errno]
    except OSError as error:
        return "error", errno.NAMES[errno.FROM_HOST[error.errno or 0]]


class InStep(RuleBasedStateMachine):
    """Two subjects; a subclass makes them in `subjects` and may say where they legitimately differ."""

    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = self.subjects()
        self.count = 0

    def subjects(self) -> tuple[Any, Any]:
        """Return both, their trees empty."""
        raise NotImplementedError

    def agree(self, operation: str, one: Outcome, other: Outcome) -> bool:
        """Whether the outcomes mean the same."""
        return one == other

    def both(self, operation: str, *args: Any) -> bool:
        """Do an operation to both; return whether it succeeded."""
        one = outcome(self.one, operation, args)
        other = outcome(self.other, operation, args)
        assert self.agree(operation, one, other), f"{operation}{args}: {one} and {other}"
        return one[0] == "ok"

    @rule(target=slots, path=paths(), flags=open_flags(), perm=PERMS)
    def open(self, path: str, flags: int, perm: int) -> Any:
        self.count += 1
        return self.count if self.both("open", self.count, path, flags, perm) else multiple()

    @rule(slot=consumes(slots))
    def close(self, slot: int) -> None:
        self.both("close", slot)

    @rule(slot=slots)
    def fstat(self, slot: int) -> None:
        self.both("fstat", slot)

    @rule(slot=slots, count=LENGTHS.filter(lambda n: n >= 0))
    def read(self, slot: int, count: int) -> None:
        self.both("read", slot, count)

    @rule(slot=slots, count=LENGTHS.filter(lambda n: n >= 0), offset=OFFSETS)
    def pread(self, slot: int, count: int, offset: int) -> None:
        self.both("pread", slot, count, offset)

    @rule(slot=slots, data=DATA)
    def write(self, slot: int, data: bytes) -> None:
        self.both("write", slot, data)

    @rule(slot=slots, data=DATA, offset=OFFSETS)
    def pwrite(self, slot: int, data: bytes, offset: int) -> None:
        self.both("pwrite", slot, data, offset)

    @rule(
        slot=slots, offset=st.sampled_from([-70000, -1, 0, 1, 4096, 100000]), whence=st.sampled_from([0, 1])
    )
    def lseek(self, slot: int, offset: int, whence: int) -> None:
        self.both("lseek", slot, offset, whence)

    @rule(slot=slots, length=LENGTHS)
    def ftruncate(self, slot: int, length: int) -> None:
        self.both("ftruncate", slot, length)

    @rule(path=paths(), length=LENGTHS)
    def truncate(self, path: str, length: int) -> None:
        self.both("truncate", path, length)

    @rule(path=paths(), perm=PERMS)
    def mkdir(self, path: str, perm: int) -> None:
        self.both("mkdir", path, perm)

    @rule(path=paths())
    def rmdir(self, path: str) -> None:
        self.both("rmdir", path)

    @rule(path=paths())
    def unlink(self, path: str) -> None:
        self.both("unlink", path)

    @rule(old=paths(), new=paths())
    def link(self, old: str, new: str) -> None:
        self.both("link", old, new)

    @rule(text=TEXTS, path=paths())
    def symlink(self, text: str, path: str) -> None:
        self.both("symlink", text, path)

    @rule(old=paths(), new=paths())
    def posix_rename(self, old: str, new: str) -> None:
        self.both("posix_rename", old, new)

    @rule(path=paths())
    def attributes(self, path: str) -> None:
        self.both("stat", path)
        self.both("lstat", path)
        self.both("readlink", path)

    @rule(path=paths(), perm=PERMS)
    def chmod(self, path: str, perm: int) -> None:
        self.both("chmod", path, perm)

    @rule(path=paths(), ns=st.sampled_from([0, 1, 999_999_999, 1_700_000_000_123_456_789]))
    def times(self, path: str, ns: int) -> None:
        self.both("mtime_after_setting", path, ns)

    @rule(one=paths(), other=paths())
    def samefile(self, one: str, other: str) -> None:
        self.both("samefile", one, other)

    @rule(path=paths())
    def listdir(self, path: str) -> None:
        self.both("listdir", path)

    def teardown(self) -> None:
        """Compare the trees whole, with their contents."""
        self._compare(".")
        for slot in list(self.one.files):
            self.both("fstat", slot)
            self.both("close", slot)

    def _compare(self, path: str) -> None:
        self.both("listdir", path)
        for name in outcome(self.one, "listdir", (path,))[1]:
            below = f"{path}/{name}"
            self.both("lstat", below)
            kind = outcome(self.one, "lstat", (below,))[1][0]
            if kind == "dir":
                self._compare(below)
            elif kind == "file":
                self.count += 1
                self.both("open", self.count, below, fcntl.O_RDONLY, 0)
                self.both("read", self.count, 1 << 20)
                self.both("close", self.count)
