"""Finding components: the forms of a name, refusals, and the order of loading."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from rumpfs.base import registry
from rumpfs.base.component import GROUP, Component
from rumpfs.base.registry import LoadError, find, installed, solve, unresolved

COMPONENT = """
from rumpfs.base.component import Component, Phase

def init(kernel):
    kernel.append({name!r})

{attribute} = Component({name!r}, Phase.FS, {requires!r}, init)
"""


def write(path: Path, name: str, requires: tuple[str, ...] = (), attribute: str = "COMPONENT") -> str:
    path.write_text(COMPONENT.format(name=name, requires=requires, attribute=attribute))
    return str(path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the components alpha, beta and libgamma."""
    modules = tmp_path / "package_of_components"
    modules.mkdir()
    (modules / "__init__.py").touch()
    write(modules / "alpha.py", "alpha")
    write(modules / "beta.py", "beta", ("alpha",), attribute="BETA")
    write(modules / "gamma.py", "libgamma")
    info = tmp_path / "package_of_components-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: package_of_components\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nalpha = nowhere:main\n\n"
        f"[{GROUP}]\nalpha = package_of_components.alpha:COMPONENT\n"
        "beta=package_of_components.beta:BETA\n"
        "libgamma = package_of_components.gamma:COMPONENT\n"
        "broken = package_of_components.missing:COMPONENT\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("package_of_components")]:
        del sys.modules[name]
    return tmp_path


def test_what_is_installed_is_what_the_standard_library_finds(package: Path) -> None:
    assert installed() == sorted({point.name for point in metadata.entry_points(group=GROUP)})
    assert {"alpha", "beta", "rumpvfs", "rumpfs_ffs", "rumpfs_tmpfs"} <= set(installed())


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("alpha", "alpha"),
        ("libalpha.so", "alpha"),
        ("libalpha", "alpha"),
        ("alpha.so", "alpha"),
        ("libalpha.so.0", "alpha"),
        ("libalpha.so.0.1", "alpha"),
        ("beta", "beta"),
        ("libgamma", "libgamma"),
        ("liblibgamma.so", "libgamma"),
        ("package_of_components.alpha", "alpha"),
        ("package_of_components.beta:BETA", "beta"),
    ],
)
def test_forms_of_a_name(package: Path, name: str, component: str) -> None:
    assert find(name).name == component


def test_a_path_of_a_python_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "mine.py", "mine")
    component = find(path)
    assert component.name == "mine"
    called: list[str] = []
    component.init(called)
    assert called == ["mine"]
    monkeypatch.chdir(tmp_path)
    assert find("mine.py").name == "mine"
    assert find("./mine.py").name == "mine"


@pytest.mark.parametrize(
    "name", ["nosuch", "librumpnosuch.so", "liblib.so.so", "os", "", "a b", "no-such", "x:y:z"]
)
def test_an_unknown_name_is_refused_with_what_there_is(package: Path, name: str) -> None:
    with pytest.raises(LoadError, match=r"no such component; installed are alpha, beta, ") as caught:
        find(name)
    assert caught.value.name == name


def test_an_elf_file_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "librumpvfs.so"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    with pytest.raises(LoadError, match=r"ELF file.*expected is the name of a component.*rumpvfs"):
        find(str(path))
    disguised = tmp_path / "vfs.py"
    disguised.write_bytes(path.read_bytes())
    with pytest.raises(LoadError, match="ELF file"):
        find(str(disguised))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(LoadError, match=r"no Python file.*expected is"):
        find(str(tmp_path / "notes.txt"))
    with pytest.raises(LoadError, match=r"cannot open it: No such file or directory.*expected is"):
        find(str(tmp_path / "missing.py"))
    with pytest.raises(LoadError, match="cannot open it: Is a directory"):
        find(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("COMPONENT = 1\n", "COMPONENT of rumpfs_component_bad is 1, and no rumpfs.base.component.Component"),
        ("", "is None, and no"),
        ("def (:\n", "cannot run it: SyntaxError"),
        (
            "x = 1\nraise ValueError('by design')\n",
            r"cannot run it: ValueError: by design \(.*bad.py, line 2\)",
        ),
        ("\0", "cannot run it: "),
    ],
)
def test_a_file_without_a_component(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(LoadError, match=reason):
        find(str(path))


def test_a_component_that_cannot_be_imported_says_why(package: Path) -> None:
    with pytest.raises(LoadError, match=r"cannot import package_of_components.missing: ModuleNotFoundError"):
        find("broken")
    with pytest.raises(LoadError, match=r"cannot import no.such.module: ModuleNotFoundError"):
        find("no.such.module")
    with pytest.raises(LoadError, match=r"NAME of package_of_components.alpha is None, and no"):
        find("package_of_components.alpha:NAME")


def names(components: list[Component]) -> list[str]:
    return [component.name for component in components]


def test_the_order_of_names_need_not_respect_requirements(package: Path) -> None:
    assert names(solve(["beta", "alpha"])) == ["alpha", "beta"]
    assert names(solve(["beta", "libgamma", "alpha"], bind_now=True)) == ["libgamma", "alpha", "beta"]


def test_a_component_counts_once(package: Path) -> None:
    assert names(solve(["alpha", "libalpha.so", "alpha", "package_of_components.alpha"])) == ["alpha"]


def test_a_missing_requirement_is_left_for_later_unless_bound_now(package: Path) -> None:
    components = solve(["beta"])
    assert names(components) == ["beta"]
    assert unresolved(components) == {"alpha": ("beta",)}
    with pytest.raises(
        LoadError, match=r"beta requires components that are not loaded: alpha \(add -lalpha\)"
    ):
        solve(["beta"], bind_now=True)
    assert unresolved(solve(["alpha", "beta"])) == {}


def test_the_vfs_is_required_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "fs.py", "fs", ("rumpvfs",))
    for bind_now in False, True:
        with pytest.raises(LoadError, match=r"fs requires components that are not loaded: rumpvfs"):
            solve([path], bind_now)
    assert names(solve([path, "rumpvfs"], bind_now=True)) == ["rumpvfs", "fs"]


def test_a_failure_names_the_last_library_that_was_not_found(package: Path) -> None:
    with pytest.raises(LoadError) as caught:
        solve(["nosuch", "alpha", "other"])
    assert caught.value.name == "other"
    with pytest.raises(LoadError) as caught:
        solve(["rumpvfz", "rumpfs_tmpfs"])
    assert caught.value.name == "rumpvfz"


def test_components_that_require_each_other_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.py", "one", ("two",))
    two = write(tmp_path / "two.py", "two", ("one",))
    with pytest.raises(LoadError, match="two requires one, which directly or indirectly requires it"):
        solve([one, two])


def test_metadata_that_is_damaged_or_not_ours_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(
        [b"\xff\xfe[", f"[{GROUP}]\nno equals sign\n# x = y\n; x = y\n".encode(), b""]
    ):
        info = tmp_path / f"bad{number}-1.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(text)
    (tmp_path / "plain.dist-info").write_text("a file")
    monkeypatch.setattr(
        sys, "path", [str(tmp_path), str(tmp_path / "missing"), str(tmp_path / "plain.dist-info")]
    )
    assert installed() == []
    with pytest.raises(LoadError, match="installed are none"):
        registry.find("rumpvfs")
