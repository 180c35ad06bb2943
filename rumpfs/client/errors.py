"""What a client raises: OSError with the NetBSD number beside the host's."""

from __future__ import annotations

from typing import Final

from rumpfs.abi import errno


class RumpError(OSError):
    """A system call failed in the rump kernel.

    It is the subclass of OSError that Python has for the errno as well: ENOENT is a FileNotFoundError.

    Attributes:
        errno: the host's number, so that it compares with the names in the module `errno`.
        netbsd_errno: the number that the kernel answered with.
        strerror: NetBSD's text for it, or more where the client knows more.
        filename, filename2: the paths of the call, as they were given.
    """

    netbsd_errno: int = 0

    def __reduce__(self) -> tuple[object, ...]:
        return rump_error, (self.netbsd_errno, self.filename, self.filename2, self.strerror)


class ConnectionLost(RumpError, ConnectionError):
    """There is no connection any more; its number is ENOTCONN, as in NetBSD's client."""

    netbsd_errno = errno.ENOTCONN

    def __reduce__(self) -> tuple[object, ...]:
        return connection_lost, (self.strerror,)


def connection_lost(why: str) -> ConnectionLost:
    """Return the error for a connection that is gone."""
    return ConnectionLost(errno.TO_HOST[errno.ENOTCONN], why)


#: the class that is both RumpError and what OSError becomes for a host number
_classes: Final[dict[type[OSError], type[RumpError]]] = {OSError: RumpError}


def rump_error(
    number: int,
    filename: str | bytes | None = None,
    filename2: str | bytes | None = None,
    text: str | None = None,
) -> RumpError:
    """Return the error for a NetBSD number.

    Args:
        number: what the kernel answered; a number that NetBSD does not have becomes the host's EIO.
        filename, filename2: the paths of the call.
        text: what to say in place of NetBSD's text.
    """
    host = errno.TO_HOST.get(number, errno.TO_HOST[errno.EIO])
    builtin = type(OSError(host, ""))
    cls = _classes.get(builtin)
    if cls is None:
        cls = type("Rump" + builtin.__name__, (RumpError, builtin), {"__module__": __name__})
        _classes[builtin] = cls
    if text is None:
        text = errno.strerror(number) if number in errno.NAMES else f"Unknown error: {number}"
    error = cls(host, text, filename, None, filename2)
    error.netbsd_errno = number
    return error
