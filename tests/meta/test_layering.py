"""Who may import whom: the contracts in setup.cfg hold for the package, and catch each kind of breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGES = (
    "abi", "base", "ondisk", "dev", "sysproxy", "vfs", "kern", "fs", "client", "server", "fuse", "inspect",
    "cli", "cli/verbs",
)  # fmt: skip

#: (module, what it must not import), one for each rule of the design.
BREACHES = [
    ("abi", "rumpfs.base"),
    ("base", "rumpfs.ondisk"),
    ("ondisk", "rumpfs.dev"),
    ("dev", "rumpfs.sysproxy"),
    ("sysproxy", "rumpfs.dev"),
    ("sysproxy", "rumpfs.ondisk"),
    ("dev", "rumpfs.vfs"),
    ("vfs", "rumpfs.kern"),
    ("kern", "rumpfs.fs"),
    ("fs", "rumpfs.kern"),
    ("client", "rumpfs.kern"),
    ("client", "rumpfs.vfs"),
    ("client", "rumpfs.dev"),
    ("client", "rumpfs.ondisk"),
    ("kern", "rumpfs.server"),
    ("server", "rumpfs.fuse"),
    ("fuse", "rumpfs.server"),
    ("inspect", "rumpfs.server"),
    ("server", "rumpfs.cli"),
    ("kern", "trio"),
    ("client", "trio"),
    ("inspect", "trio"),
    ("server", "pyfuse3"),
    ("cli", "pyfuse3"),
    ("dev", "construct"),
    ("cli", "construct"),
    ("kern", "socket"),
    ("sysproxy", "socket"),
    ("dev", "threading"),
    ("inspect", "threading"),
    ("inspect", "fsspec"),
    ("kern", "fsspec"),
    ("base", "asyncio"),
    ("cli.rump_halt", "rumpfs.kern"),
    ("cli.rumpfs", "rumpfs.vfs"),
    ("cli.rumpfs", "rumpfs.server"),
    ("cli.rump_halt", "trio"),
    ("cli.verbs", "rumpfs.kern"),
]

#: What looks similar and is allowed.
ALLOWED = [
    ("server", "trio"), ("cli.rump_server", "trio"), ("cli", "trio"), ("ondisk", "construct"),
    ("fuse", "pyfuse3"),
    ("client", "socket"), ("client", "threading"), ("server", "socket"), ("cli", "rumpfs.server"),
    ("inspect", "rumpfs.fs"), ("client", "rumpfs.sysproxy"), ("kern", "rumpfs.dev"), ("fs", "rumpfs.vfs"),
    ("cli.rump_server", "rumpfs.kern"),
]  # fmt: skip


def _lint(directory: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.prefix) / "bin" / "lint-imports"
    return subprocess.run(
        [str(tool), "--no-logo", "--no-cache", "--config", str(directory / "setup.cfg")],
        cwd=directory, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """A project with our contracts and our packages, all of them empty."""
    shutil.copy(PROJECT / "setup.cfg", tmp_path)
    for package in PACKAGES:
        directory = tmp_path / "rumpfs" / package
        directory.mkdir(parents=True)
        (directory / "__init__.py").touch()
    (tmp_path / "rumpfs" / "__init__.py").touch()
    for command in ("rump_server", "rump_halt", "rumpfs"):
        (tmp_path / "rumpfs" / "cli" / f"{command}.py").touch()
    return tmp_path


def _add_import(skeleton: Path, module: str, target: str) -> Path:
    """Let a module import a target: a package, through a module of its own."""
    path = skeleton / "rumpfs" / module.replace(".", "/")
    path = path / "deep.py" if path.is_dir() else path.with_suffix(".py")
    with path.open("a") as stream:
        stream.write(f"import {target}\n")
    return path


def test_the_package_keeps_the_contracts() -> None:
    done = _lint(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_layers_are_for_is_allowed(skeleton: Path) -> None:
    for module, target in ALLOWED:
        _add_import(skeleton, module, target)
    done = _lint(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("module", "target"), BREACHES)
def test_a_breach_is_caught(skeleton: Path, module: str, target: str) -> None:
    _add_import(skeleton, module, target)
    done = _lint(skeleton)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert f"-> {target}" in done.stdout


def test_a_package_without_a_layer_is_caught(skeleton: Path) -> None:
    (skeleton / "rumpfs" / "misc").mkdir()
    (skeleton / "rumpfs" / "misc" / "__init__.py").touch()
    done = _lint(skeleton)
    assert done.returncode == 1
    assert "rumpfs.misc" in done.stdout
