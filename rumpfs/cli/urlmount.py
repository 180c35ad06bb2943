"""Mounting a running server on the host."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rumpfs.base.address import AddressError
from rumpfs.cli.address import ServerAddress, parse
from rumpfs.cli.hostmounts import HostMountError
from rumpfs.client.errors import RumpError
from rumpfs.client.raw import server_url
from rumpfs.sysproxy import url
from rumpfs.sysproxy.url import UrlError

if TYPE_CHECKING:
    from rumpfs.cli.mounting import Job
    from rumpfs.fuse.face import Face

#: seconds for which the host goes by what it was told: others change the server's files, and nobody tells it
_TIMEOUT: Final = 1.0


def start(job: Job, mountpoint: str) -> Face:
    """Connect to the server and mount it. Errors: HostMountError."""
    from rumpfs.cli.mounting import host_options, shown
    from rumpfs.fuse.face import Face, MountError
    from rumpfs.fuse.remote.tree import RemoteTree

    try:
        address = parse(job.source)
        assert isinstance(address, ServerAddress)
        # As it is now: the daemon has another working directory.
        where = str(url.parse(address.url or server_url(), client=True))
        tree = RemoteTree(where, address.path or b"/")
    except (AddressError, UrlError) as error:
        raise HostMountError(str(error)) from error
    except RumpError as error:
        raise HostMountError(f"{job.source}: {error.strerror}") from error
    except OSError as error:
        raise HostMountError(
            f"{job.source}: no server can be reached there: {error.strerror}; "
            "rump_allserver starts one, rumpfs mount URL says what one has mounted"
        ) from error
    times = {"attr_timeout": _TIMEOUT, "entry_timeout": _TIMEOUT} | job.options.values
    face = Face(tree, mountpoint, shown(replace(job, options=replace(job.options, values=times))))
    source = f"{where}:{os.fsdecode(address.path)}" if address.path else where
    try:
        face.mount(host_options(source, job.options, job.options.rw is not False))
    except MountError as error:
        face.close()
        raise HostMountError(str(error)) from error
    return face
