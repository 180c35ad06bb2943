"""Numbers of users and groups by their names, from the host or from the files of another system."""

from __future__ import annotations

import os
from functools import cached_property

from rumpfs.cli.sources.errors import SourceError

_PASSWD = ("master.passwd", "passwd")
_GROUP = ("group",)


class Users:
    """Finds users and groups.

    Args:
        dbdir: directory of master.passwd (or passwd) and group (makefs -N); None for the host's.
    """

    def __init__(self, dbdir: str | None = None) -> None:
        self._dbdir = dbdir

    def uid(self, name: str) -> int:
        """Return the number of a user. Raises: SourceError: there is none of that name."""
        return self._find(self._users, name, "user")

    def gid(self, name: str) -> int:
        """Return the number of a group. Raises: SourceError: there is none of that name."""
        return self._find(self._groups, name, "group")

    def _find(self, table: dict[str, int], name: str, what: str) -> int:
        if name not in table:
            where = self._dbdir or "the host"
            raise SourceError(
                f"{where} has no {what} {name} (-N DIR: look in DIR/master.passwd and DIR/group)"
            )
        return table[name]

    @cached_property
    def _users(self) -> dict[str, int]:
        if self._dbdir is not None:
            return self._read(_PASSWD)
        import pwd

        return {entry.pw_name: entry.pw_uid for entry in reversed(pwd.getpwall())}

    @cached_property
    def _groups(self) -> dict[str, int]:
        if self._dbdir is not None:
            return self._read(_GROUP)
        import grp

        return {entry.gr_name: entry.gr_gid for entry in reversed(grp.getgrall())}

    def _read(self, names: tuple[str, ...]) -> dict[str, int]:
        """Return name -> number of the first of the files that is there; the first of two lines counts."""
        assert self._dbdir is not None
        found: dict[str, int] = {}
        for name in names:
            path = os.path.join(self._dbdir, name)
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    words = line.rstrip("\n").split(":")
                    if len(words) > 2 and words[2].isascii() and words[2].isdigit():
                        found.setdefault(words[0], int(words[2]))
            return found
        raise SourceError(f"{self._dbdir} has no {names[0]}")
