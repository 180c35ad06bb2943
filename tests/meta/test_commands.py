"""The commands that the package installs are there, answer, and start as fast as they promise."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import rumpfs
from rumpfs.cli.rumpfs import VERBS
from tests.conftest import PROJECT

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
COMMANDS = sorted(METADATA["scripts"])
COMPONENTS = METADATA["entry-points"]["rumpfs.components"]
BIN = Path(sys.prefix) / "bin"

#: What a command that starts fast must not have loaded when it prints its help.
HEAVY = (
    "trio",
    "construct",
    "asyncio",
    "logging",
    "importlib.metadata",
    "rumpfs.kern",
    "rumpfs.vfs",
    "rumpfs.fs",
    "rumpfs.dev",
)

NO_SERVER = {"RUMP_SERVER": "unix://no-such-socket"}


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself(command: str) -> None:
    done = _run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith(f"usage: {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_knows_its_version(command: str) -> None:
    done = _run(command, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert rumpfs.__version__ in done.stdout.splitlines()[0]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_explains_itself(verb: str) -> None:
    done = _run("rumpfs", verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith(f"usage: rumpfs {verb}")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_does_not_exist_is_refused(command: str) -> None:
    done = _run(command, "--no-such-option")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_the_version_is_the_installed_one() -> None:
    assert metadata.version("rumpfs") == rumpfs.__version__


@pytest.mark.parametrize(("name", "target"), sorted(COMPONENTS.items()))
def test_a_component_is_found_by_its_name(name: str, target: str) -> None:
    (entry,) = metadata.entry_points(group="rumpfs.components", name=name)
    assert entry.value == target
    assert entry.load().name == name


#: As far as it goes without a server: everything is loaded, and the connection fails.
WITHOUT_A_SERVER = [
    ("rump.halt", "rump_halt", []),
    ("rumpfs", "rumpfs", ["df"]),
    ("rumpfs", "rumpfs", ["ls", "-l", ":/"]),
    ("rumpfs", "rumpfs", ["cp", ":/file", "file"]),
]


@pytest.mark.parametrize(("command", "module", "words"), WITHOUT_A_SERVER)
def test_a_quick_command_loads_nothing_heavy(command: str, module: str, words: list[str]) -> None:
    program = (
        f"import sys\nfrom rumpfs.cli.{module} import main\n"
        f"sys.argv = [{command!r}, *{words!r}]\n"
        "status = main()\n"
        f"print(status, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | NO_SERVER, capture_output=True, text=True
    )
    assert done.stdout == "1 []\n"
    assert "No such file or directory" in done.stderr


@pytest.mark.parametrize(("command", "module", "words"), WITHOUT_A_SERVER)
def test_a_quick_command_takes_under_a_tenth_of_a_second(command: str, module: str, words: list[str]) -> None:
    def cpu_seconds() -> float:
        process = subprocess.Popen(
            [str(BIN / command), *words], env=os.environ | NO_SERVER, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 1
        return usage.ru_utime + usage.ru_stime

    # The least of five: what other processes do to the caches is not the command's cost.
    assert min(cpu_seconds() for _ in range(5)) < 0.1
