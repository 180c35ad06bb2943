from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rumpfs.base import clock
from tests.kern.incore import Machine, Process


@pytest.fixture
def host_clock() -> Iterator[None]:
    """Leave the clock, which is this process's, as the host's."""
    yield
    clock.settime(*divmod(time.time_ns(), 1_000_000_000))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def p(machine: Machine) -> Process:
    """A process in ``/``, with nothing mounted but the root."""
    return machine.process()


@pytest.fixture
def tmp(machine: Machine) -> Process:
    """A process in ``/t``, which is a tmpfs."""
    return in_t(machine, "tmpfs")


@pytest.fixture(params=["rootfs", "tmpfs"])
def t(request: pytest.FixtureRequest, machine: Machine) -> Process:
    """A process in the empty directory ``/t`` of each file system that can be written."""
    return in_t(machine, request.param)


def in_t(machine: Machine, kind: str) -> Process:
    process = machine.process()
    process.call("mkdir", b"/t", 0o755)
    if kind == "tmpfs":
        process.mount_tmpfs(b"/t")
    process.call("chdir", b"/t")
    return process
