"""A running server as what is to be mounted on the host: how it is written, and its options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rumpfs.base.address import AddressError
from rumpfs.cli.address import ServerAddress, parse
from rumpfs.cli.mountopts import OPTIONS, OptionError

#: what is mounted, beside the file systems of `mounting`
URL: Final = "url"
#: options that mean something for a url
_OPTIONS: Final = frozenset({
    "ro", "rw", "uid", "gid", "umask", "attr_timeout", "entry_timeout", "allow_other", "default_permissions",
    "max_read", "noexec", "noatime", "sync",
})  # fmt: skip


def is_url(source: str) -> bool:
    """Whether what is to be mounted is a server, or a directory of one."""
    try:
        return isinstance(parse(source), ServerAddress)
    except AddressError:
        return False


def check(words: Iterable[str]) -> None:
    """Refuse options that are about an image or a tmpfs.

    Args:
        words: the values of -o.

    Errors:
        OptionError.
    """
    for option in (part for text in words for part in text.split(",")):
        name = option.partition("=")[0]
        if name in OPTIONS and name not in _OPTIONS:
            raise OptionError(
                f"-o {option}: not for a url: the server has mounted what is to be seen; "
                f"the options are {', '.join(word for word in OPTIONS if word in _OPTIONS)}"
            )
