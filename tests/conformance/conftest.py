"""Fixtures: a kernel to make calls in, and a file system of each kind mounted in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.cases import needs_of
from tests.conformance.filesystems import DISKS, IMAGE_SIZE, KINDS, Kind
from tests.conformance.system import InCore, Socket, System, socket_system
from tests.conformance.volume import Volume

FACES = ("incore", "socket")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a case for every file system that has what it needs; or once in process and once remote."""
    if "kind" in metafunc.fixturenames:
        reasons = {kind: kind.why_not(needs_of(metafunc.function)) for kind in KINDS}
        places = [
            pytest.param(
                kind, face, id=f"{kind.name}-{face}", marks=[pytest.mark.slow] if face in kind.slow else []
            )
            for kind, why in reasons.items()
            if why is None
            for face in FACES
        ]
        nowhere = pytest.mark.skip(reason=f"not applicable: {reasons[KINDS[0]]}")
        metafunc.parametrize(
            ("kind", "face"), places or [pytest.param(None, None, marks=nowhere, id="nowhere")]
        )
    elif "face" in metafunc.fixturenames:
        metafunc.parametrize("face", FACES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this directory."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.conformance)


class Server:
    """The server that cases share; it is started on demand, and a new one after a case that spoiled it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = ExitStack()
        self._system: Socket | None = None
        self._count = 0

    def get(self) -> Socket:
        """Return the running server."""
        if self._system is None:
            self._count += 1
            directory = self._directory / str(self._count)
            directory.mkdir()
            self._system = self._running.enter_context(socket_system(directory, DISKS))
        return self._system

    def stop(self) -> None:
        """Stop it."""
        self._system = None
        self._running.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shared = Server(tmp_path_factory.mktemp("conformance"))
    yield shared
    shared.stop()


@pytest.fixture
def system(face: str, request: pytest.FixtureRequest) -> Iterator[System]:
    """A kernel: a new one in this process, or the server that all cases share."""
    if face == "incore":
        kernel = InCore(request.getfixturevalue("tmp_path"))
        yield kernel
        kernel.close()
        return
    server = request.getfixturevalue("server")
    remote = server.get()
    yield remote
    try:
        remote.exit_all()
        spoiled = remote.spoiled()
    except OSError:
        spoiled = True
    if spoiled:
        server.stop()


@pytest.fixture
def volume(kind: Kind, system: System, request: pytest.FixtureRequest) -> Iterator[Volume]:
    """A new file system that is not mounted yet; `@pytest.mark.imgsize(bytes)` sets its size."""
    mark = request.node.get_closest_marker("imgsize")
    made = Volume(system, kind, mark.args[0] if mark else IMAGE_SIZE)
    yield made
    made.finish()


@pytest.fixture
def fs(volume: Volume) -> Volume:
    """A new file system, mounted for writing; the process is in it."""
    volume.mount()
    return volume
