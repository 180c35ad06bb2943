"""Kernel modules: what a .kmod file has to declare, loading through the kernel's file system, modstat_t."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from rumpfs.abi import errno
from rumpfs.base.component import Component, Phase
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import solve
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.kern import module
from rumpfs.kern.kernel import Kernel

GOOD = """
NAME = "probe"
CLASS = "misc"
REQUIRES = ()

def init(kernel):
    kernel.print("probe init")

def fini(kernel):
    kernel.print("probe fini")
"""


class Machine:
    """A booted kernel, its console, and a way to load host files as modules."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.output: list[bytes] = []
        self.kernel = Kernel(1, None, False, self.output.append)
        for component in solve(names):
            self.kernel.add(component)
        self.kernel.boot()
        self.directory = directory

    def load(self, source: str | bytes) -> None:
        """Load a module as -m does: mapped at /module.mod."""
        path = self.directory / "probe.kmod"
        path.write_bytes(source.encode() if isinstance(source, str) else source)
        hostfile = HostFile.open(str(path), readonly=True)
        self.kernel.etfs_register(b"/module.mod", Window(hostfile, 0, hostfile.size), "reg")
        try:
            self.kernel.modules.load(b"/module.mod")
        finally:
            self.kernel.etfs_remove(b"/module.mod")

    def refused(self, source: str | bytes, number: int) -> str:
        """Return why a module was not loaded."""
        with pytest.raises(VfsError) as caught:
            self.load(source)
        assert caught.value.errno == number
        return caught.value.why


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "rumpvfs")


class Modstat(NamedTuple):
    """modstat_t: sys/sys/module.h as netbsd_abi.md gives it."""

    name: bytes
    required: bytes
    addr: int
    source: int
    modclass: int
    size: int
    refcnt: int
    flags: int


def modstat(kernel: Kernel) -> list[Modstat]:
    data = kernel.modules.stat()
    assert len(data) % 392 == 0
    found = []
    for start in range(0, len(data), 392):
        record = data[start : start + 392]
        (addr,) = struct.unpack_from("<Q", record, 352)
        numbers = struct.unpack_from("<IIIiI", record, 360)
        found.append(Modstat(record[:32].rstrip(b"\0"), record[32:352].rstrip(b"\0"), addr, *numbers))
        assert record[380:] == bytes(12)
    return found


def test_a_module_is_initialised_listed_and_finished(machine: Machine) -> None:
    machine.load(GOOD)
    assert machine.output == [b"probe init\n"]
    assert modstat(machine.kernel) == [Modstat(b"probe", b"", 0, 2, 1, len(GOOD), 0, 0)]
    machine.kernel.modules.unload("probe")
    assert machine.output == [b"probe init\n", b"probe fini\n"]
    assert modstat(machine.kernel) == []
    machine.load(GOOD)
    assert "probe" in machine.kernel.modules


def test_a_second_one_of_that_name_is_eexist(machine: Machine) -> None:
    machine.load(GOOD)
    machine.refused(GOOD, errno.EEXIST)
    assert machine.output == [b"probe init\n"]


@pytest.mark.parametrize(
    ("name", "number"), [("misc", 1), ("vfs", 2), ("driver", 3), ("exec", 4), ("secmodel", 5)]
)
def test_classes_have_netbsds_numbers(machine: Machine, name: str, number: int) -> None:
    machine.load(GOOD.replace('"misc"', f'"{name}"'))
    assert modstat(machine.kernel)[0].modclass == number


def change(old: str, new: str) -> Callable[[], str]:
    assert old in GOOD
    return lambda: GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (change('NAME = "probe"', ""), "does not declare NAME"),
        (change('CLASS = "misc"\nREQUIRES = ()', ""), "does not declare CLASS, REQUIRES"),
        (change('"probe"\nCLASS', "''\nCLASS"), "NAME is '': a name of at most 31 letters"),
        (change('NAME = "probe"', "NAME = 7"), "NAME is 7"),
        (change('NAME = "probe"', "NAME = 'a b'"), "NAME is 'a b'"),
        (change('NAME = "probe"', f"NAME = {'n' * 32!r}"), "NAME is 'nnnn"),
        (change('NAME = "probe"', "NAME = 'pro' + 'be'"), "NAME is no constant (line 2)"),
        (change('NAME = "probe"', "NAME = __import__('os').name"), "NAME is no constant (line 2)"),
        (change('"misc"', '"filesystem"'), "CLASS is 'filesystem': one of misc, vfs, driver"),
        (change('"misc"', "[]"), "CLASS is []"),
        (change("REQUIRES = ()", "REQUIRES = 'tmpfs'"), "REQUIRES is 'tmpfs': a tuple of names"),
        (change("REQUIRES = ()", "REQUIRES = (1,)"), "REQUIRES is (1,)"),
        (change("REQUIRES = ()", f"REQUIRES = {[f'm{n}' for n in range(11)]}"), "at most 10 are possible"),
        (change("def init", "def start"), "it has no function init(kernel)"),
        (change("def fini(kernel):", "fini = 3\ndef other(kernel):"), "fini is no function"),
        (lambda: "NAME = (\n", "is no module of ours, a Python file"),
        (lambda: "(" * 100_000, "is no module of ours, a Python file"),
        (lambda: "x = 1\0\n", "is no module of ours, a Python file"),
        (lambda: "#" * ((1 << 20) + 1), "is larger than 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_module_is_enoexec_and_says_why(
    machine: Machine, source: Callable[[], str], why: str
) -> None:
    assert why in machine.refused(source(), errno.ENOEXEC)
    assert modstat(machine.kernel) == []


def test_an_elf_module_is_refused_with_what_is_expected(machine: Machine) -> None:
    why = machine.refused(b"\x7fELF\x02\x01\x01" + bytes(500), errno.ENOEXEC)
    assert "is an ELF file" in why
    assert ".kmod files with NAME, CLASS, REQUIRES, init(kernel) and fini(kernel)" in why


def test_bytes_that_are_no_text_are_refused(machine: Machine) -> None:
    assert "no module of ours" in machine.refused(bytes(range(256)), errno.ENOEXEC)


def test_declarations_are_read_without_running_the_file(machine: Machine) -> None:
    machine.load(GOOD)
    machine.refused(GOOD + "\nraise SystemExit('it ran')\n", errno.EEXIST)


def test_an_error_of_init_is_the_error_of_the_load(machine: Machine) -> None:
    body = "from rumpfs.base.errors import VfsError\n    raise VfsError(28)"
    machine.refused(GOOD.replace('kernel.print("probe init")', body), errno.ENOSPC)
    assert "probe" not in machine.kernel.modules


@pytest.mark.error_log("ZeroDivisionError")
@pytest.mark.parametrize("place", ["init", "file"])
def test_a_bug_in_a_module_is_eio_and_a_traceback_in_the_log(machine: Machine, place: str) -> None:
    bug = "1 / 0"
    source = GOOD.replace('kernel.print("probe init")', bug) if place == "init" else bug + "\n" + GOOD
    assert "ZeroDivisionError" in machine.refused(source, errno.EIO)
    assert "probe" not in machine.kernel.modules


def test_a_path_needs_a_file_system(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with pytest.raises(VfsError) as caught:
        machine.kernel.modules.load(b"/module.mod")
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"/no/such", errno.ENOENT),
        (b"/dev", errno.EISDIR),
        (b"/dev/null", errno.ENOEXEC),
        (b"nosuch", errno.ENOENT),
        (b"", errno.ENOENT),
        (b"..", errno.ENOENT),
        (b"\xff", errno.ENOENT),
        (b"n" * 32, errno.ENAMETOOLONG),
        (b"/" + b"n" * 2000, errno.ENAMETOOLONG),
    ],
)
def test_names_that_lead_nowhere(machine: Machine, name: bytes, number: int) -> None:
    with pytest.raises(VfsError) as caught:
        machine.kernel.modules.load(name)
    assert caught.value.errno == number


def test_unloading_refuses_what_is_not_there_built_in_or_without_fini(machine: Machine) -> None:
    def refused(name: str, number: int) -> None:
        with pytest.raises(VfsError) as caught:
            machine.kernel.modules.unload(name)
        assert caught.value.errno == number

    refused("probe", errno.ENOENT)
    machine.load(GOOD.replace("def fini", "def other"))
    refused("probe", errno.ENOTTY)
    machine.kernel.modules.add_builtin(Component("rump_x", Phase.KERN, (), lambda kernel: None, module="x"))
    refused("x", errno.ENOTTY)


def test_builtin_modules_are_listed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "rumpvfs", "rumpfs_tmpfs")
    (tmpfs,) = [stat for stat in modstat(machine.kernel) if stat.name == b"tmpfs"]
    assert tmpfs == Modstat(b"tmpfs", b"", 0, 0, 2, 0, 0, 0)
    machine.refused(GOOD.replace("probe", "tmpfs"), errno.EEXIST)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, tuple[str, ...]], None]:
    """A directory of modules of our own in the place of the package's."""
    directory = tmp_path / "modules"
    directory.mkdir()
    monkeypatch.setattr(module, "MODULE_DIR", str(directory))

    def put(name: str, requires: tuple[str, ...]) -> None:
        text = GOOD.replace("probe", name).replace("REQUIRES = ()", f"REQUIRES = {requires!r}")
        (directory / f"{name}.kmod").write_text(text)

    return put


Shelf = Callable[[str, tuple[str, ...]], None]


def test_required_modules_come_first_and_are_held(machine: Machine, shelf: Shelf) -> None:
    shelf("base", ())
    shelf("middle", ("base",))
    shelf("top", ("middle", "base", "middle"))
    machine.kernel.modules.load(b"top")
    assert machine.output == [b"base init\n", b"middle init\n", b"top init\n"]
    listed = {stat.name: (stat.required, stat.refcnt) for stat in modstat(machine.kernel)}
    assert listed == {b"top": (b"middle,base", 0), b"middle": (b"base", 1), b"base": (b"", 2)}
    # Those that require others are listed, and so unloaded, before them.
    assert [stat.name for stat in modstat(machine.kernel)] == [b"top", b"middle", b"base"]
    with pytest.raises(VfsError) as caught:
        machine.kernel.modules.unload("base")
    assert caught.value.errno == errno.EBUSY
    for name in ("top", "middle", "base"):
        machine.kernel.modules.unload(name)
    assert modstat(machine.kernel) == []


def test_a_missing_requirement_is_enoent(machine: Machine, shelf: Shelf) -> None:
    shelf("top", ("gone",))
    with pytest.raises(VfsError, match="no module gone in") as caught:
        machine.kernel.modules.load(b"top")
    assert caught.value.errno == errno.ENOENT
    assert machine.output == []


def test_modules_that_require_each_other_are_edeadlk(machine: Machine, shelf: Shelf) -> None:
    shelf("one", ("two",))
    shelf("two", ("one",))
    with pytest.raises(VfsError, match="one -> two") as caught:
        machine.kernel.modules.load(b"one")
    assert caught.value.errno == errno.EDEADLK
    shelf("two", ())
    machine.kernel.modules.load(b"one")


def test_requirements_that_are_too_deep_are_emlink(machine: Machine, shelf: Shelf) -> None:
    for number in range(7):
        shelf(f"m{number}", (f"m{number + 1}",))
    shelf("m7", ())
    with pytest.raises(VfsError) as caught:
        machine.kernel.modules.load(b"m0")
    assert caught.value.errno == errno.EMLINK
    machine.kernel.modules.load(b"m2")


def test_the_tmpfs_module_brings_the_file_system(machine: Machine) -> None:
    assert machine.kernel.vfs is not None
    assert b"tmpfs" not in machine.kernel.vfs.types
    machine.kernel.modules.load(b"tmpfs")
    assert b"tmpfs" in machine.kernel.vfs.types
    assert [(stat.name, stat.modclass) for stat in modstat(machine.kernel)] == [(b"tmpfs", 2)]
    machine.kernel.modules.unload("tmpfs")
    assert b"tmpfs" not in machine.kernel.vfs.types
