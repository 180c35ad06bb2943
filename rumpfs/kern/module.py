"""Kernel modules: loading, unloading and listing them (NetBSD: kern_module.c).

A module file (``.kmod``) is Python source. Three declarations at its top level are read without running it:
``NAME`` (a string), ``CLASS`` (misc, vfs, driver, exec, secmodel or bufq) and ``REQUIRES`` (names of other
modules). Its functions ``init(kernel)`` and, when it can be unloaded, ``fini(kernel)`` enter what it offers
in the kernel's tables and take it out again.

The module of a component is built in. Such a one of a file system can be unloaded: then it is disabled, and
loaded again only with MODCTL_LOAD_FORCE.
"""

from __future__ import annotations

import ast
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD
from rumpfs.abi.limits import MAXMODNAME, MODCTL_LOAD_FORCE
from rumpfs.abi.module import (
    MAXMODDEPS,
    MODSTAT,
    MODULE_CLASSES,
    MODULE_SOURCE_FILESYS,
    MODULE_SOURCE_KERNEL,
)
from rumpfs.base.component import Component, Phase
from rumpfs.base.errors import VfsError
from rumpfs.kern.module_vfs import MAX_SOURCE, MODULE_DIR, SUFFIX, module_load_vfs
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VDIR, VREG

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel

log = logging.getLogger(__name__)

#: How deep modules may require modules (kern_module.c: module_do_load).
MAX_DEPTH = 6

_CLASS_OF_PHASE = {Phase.FS: "vfs", Phase.VFS: "vfs", Phase.DEV: "driver"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModInfo:
    """What a module says of itself (modinfo_t)."""

    name: str
    modclass: str
    required: tuple[str, ...] = ()


@dataclass(slots=True)
class Module:
    """A module in the kernel (module_t); `refcnt` modules require it. Of what is built in `init` is kept."""

    info: ModInfo
    source: int
    init: Callable[[Kernel], None] | None = None
    fini: Callable[[Kernel], None] | None = None
    size: int = 0
    refcnt: int = 0


class ModuleTable:
    """The modules of a kernel.

    Args:
        kernel: what a module's functions are given; its root file system holds the files to load.

    Attributes:
        directory: where clients' modules are on the host; None: clients can load nothing from there.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.directory: str | None = None
        self._kernel = kernel
        self._modules: dict[str, Module] = {}
        self._disabled: dict[str, Module] = {}  # built in, and unloaded
        self._pending: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def add_builtin(self, component: Component) -> None:
        """Enter the module that an initialised component holds, if any (module_builtin_add).

        Errors: EEXIST.
        """
        if component.module:
            info = ModInfo(component.module, _CLASS_OF_PHASE.get(component.phase, "misc"))
            self._check_new(info.name)
            fini = partial(_vfs_fini, component.module) if component.phase == Phase.FS else None
            self._enqueue(Module(info, MODULE_SOURCE_KERNEL, component.init, fini))

    def load(self, name: bytes, flags: int = 0) -> None:
        """Load a module for the operator, and what it requires (module_load).

        Args:
            name: with a slash, a path in the kernel's root file system; without, the name of a module in
                `directory` or `MODULE_DIR`.
            flags: as for `load_named`.

        Errors:
            EEXIST: a module of that name is there.
            ENOENT: no such file, no such module, or a required one is not found; ENAMETOOLONG, EISDIR.
            ENOSYS: a path, and there is no file system (component rumpvfs).
            ENOEXEC: the file is no module of ours.
            EDEADLK, EMLINK: modules require each other, or too deeply.
            Whatever the module's init raises; EIO for what is no error of ours, and a line in the log.
        """
        directories = [*self._directories(), MODULE_DIR]
        if b"/" in name:
            self._load_source(self._read_file(name), os.fsdecode(name), directories)
        else:
            self._load_name(name.decode("ascii", "replace"), directories, flags)

    def load_named(self, name: bytes, flags: int = 0) -> None:
        """Load a module for a client, and what it requires: from `directory`, or what is built in.

        Args:
            name: of a module, or of its file there.
            flags: MODCTL_LOAD_FORCE: also what is built in and was unloaded.

        Errors:
            EPERM: a path; a link out of the directory; what was unloaded, without MODCTL_LOAD_FORCE.
            Those of `load`.
        """
        if b"/" in name or b".." in name:
            raise VfsError(errno.EPERM, f"{os.fsdecode(name)}: clients load modules by their names")
        self._load_name(name.decode("ascii", "replace"), self._directories(), flags)

    def _directories(self) -> list[str]:
        return [] if self.directory is None else [self.directory]

    def unload(self, name: str) -> None:
        """Take a module out (module_unload).

        Errors:
            ENOENT: no such module.
            EBUSY: another module requires it, or it is in use.
            ENOTTY: it cannot be unloaded: it is built in, or has no fini.
        """
        module = self._modules.get(name)
        if module is None:
            raise VfsError(errno.ENOENT, f"module {name} is not loaded")
        if module.refcnt:
            raise VfsError(errno.EBUSY, f"{module.refcnt} modules require {name}")
        if module.fini is None:
            raise VfsError(errno.ENOTTY, f"module {name} cannot be unloaded")
        self._call(module.fini, f"{name}: fini")
        del self._modules[name]
        self._release(module.info)
        if module.source == MODULE_SOURCE_KERNEL:
            self._disabled[name] = module

    def stat(self) -> bytes:
        """Return the array of modstat_t of all modules; last come the disabled ones, with a refcnt of -1."""
        return b"".join(
            MODSTAT.pack(
                module.info.name.encode(), ",".join(module.info.required).encode(), 0, module.source,
                MODULE_CLASSES[module.info.modclass], module.size,
                -1 if module.info.name in self._disabled else module.refcnt, 0,
            )
            for module in (*self._modules.values(), *self._disabled.values())
        )  # fmt: skip

    def _load_name(self, name: str, directories: Sequence[str], flags: int) -> None:
        name = name.removesuffix(SUFFIX)
        if len(name) >= MAXMODNAME:
            raise VfsError(errno.ENAMETOOLONG)
        builtin = self._disabled.get(name)
        if builtin is not None:
            self._enable(builtin, flags)
            return
        self._check_new(name)
        if not _NAME.fullmatch(name):
            raise VfsError(errno.ENOENT, f"{name!r} is no name of a module")
        self._load_source(*module_load_vfs(name, directories), directories, name)

    def _enable(self, module: Module, flags: int) -> None:
        """Initialise again what is built in and was unloaded (module_do_builtin). Errors: EPERM."""
        name = module.info.name
        if not flags & MODCTL_LOAD_FORCE:
            raise VfsError(errno.EPERM, f"module {name} was unloaded; it has to be forced")
        assert module.init is not None
        self._call(module.init, f"{name}: init")
        del self._disabled[name]
        self._enqueue(module)

    def _read_file(self, path: bytes) -> bytes:
        """Return the content of a regular file of the kernel's (module_load_vfs)."""
        if self._kernel.vfs is None:
            raise VfsError(errno.ENOSYS, "module files are read through the component rumpvfs")
        vp = namei(self._kernel.initproc, path)
        if vp.v_type != VREG:
            number = errno.EISDIR if vp.v_type == VDIR else errno.ENOEXEC
            raise VfsError(number, f"{os.fsdecode(path)} is no regular file")
        vp.open(FREAD, ROOT)
        try:
            data = vp.read(0, min(vp.size(), MAX_SOURCE + 1))
            return b"".join(data) if isinstance(data, list) else bytes(data)
        finally:
            vp.close(FREAD)

    def _load_source(
        self, source: bytes, path: str, directories: Sequence[str], name: str | None = None
    ) -> None:
        """Load the module of a file, of which `name` is asked for unless it is None."""
        tree = _parse(source, path)
        info = _declarations(tree, path)
        if name is not None and info.name != name:
            raise VfsError(errno.ENOENT, f"{path} holds the module {info.name}")
        self._check_new(info.name)
        if info.name in self._pending:
            raise VfsError(errno.EDEADLK, f"module {info.name} requires itself: {' -> '.join(self._pending)}")
        if len(self._pending) >= MAX_DEPTH:
            raise VfsError(errno.EMLINK, f"modules require modules too deeply: {' -> '.join(self._pending)}")
        self._pending.append(info.name)
        try:
            for required in info.required:
                if required not in self._modules:
                    self._load_name(required, directories, 0)
            init, fini = self._functions(tree, info, path)
            self._call(init, f"{path}: init")
        finally:
            self._pending.pop()
        for required in info.required:
            self._modules[required].refcnt += 1
        self._enqueue(Module(info, MODULE_SOURCE_FILESYS, None, fini, len(source)))

    def _functions(self, tree: ast.Module, info: ModInfo, path: str) -> tuple[Callable[[Any], None], Any]:
        """Run a module's file and return its init and its fini (or None). Errors: ENOEXEC; EIO."""
        space: dict[str, Any] = {"__name__": f"rumpfs.modules.{info.name}", "__file__": path}

        def run(kernel: Kernel) -> None:
            exec(compile(tree, path, "exec"), space)

        self._call(run, path)
        init, fini = space.get("init"), space.get("fini")
        if not callable(init):
            raise _bad(path, "it has no function init(kernel)")
        if not (fini is None or callable(fini)):
            raise _bad(path, "fini is no function")
        return init, fini

    def _call(self, function: Callable[[Kernel], None], what: str) -> None:
        try:
            function(self._kernel)
        except VfsError:
            raise
        except Exception as error:
            log.exception("module %s", what)
            raise VfsError(errno.EIO, f"{what}: {type(error).__name__}: {error}") from error

    def _check_new(self, name: str) -> None:
        if name in self._modules or name in self._disabled:
            raise VfsError(errno.EEXIST, f"module {name} is there already")

    def _enqueue(self, module: Module) -> None:
        """Enter a module: one that requires others stands before them (module_enqueue)."""
        if module.info.required:
            self._modules = {module.info.name: module, **self._modules}
        else:
            self._modules[module.info.name] = module

    def _release(self, info: ModInfo) -> None:
        for required in info.required:
            self._modules[required].refcnt -= 1


def _vfs_fini(name: str, kernel: Kernel) -> None:
    """Take out the file system of a component. Errors: EBUSY while it is mounted."""
    assert kernel.vfs is not None
    kernel.vfs.detach(name.encode())


def _parse(source: bytes, path: str) -> ast.Module:
    """Return the syntax tree of a module file. Errors: ENOEXEC, with what is wrong."""
    if source.startswith(b"\x7fELF"):
        raise VfsError(
            errno.ENOEXEC,
            f"{path} is an ELF file. This kernel is written in Python, and so are its modules: {SUFFIX} "
            f"files with NAME, CLASS, REQUIRES, init(kernel) and fini(kernel), as in {MODULE_DIR}",
        )
    if len(source) > MAX_SOURCE:
        raise VfsError(errno.ENOEXEC, f"{path} is larger than {MAX_SOURCE} bytes")
    try:
        return ast.parse(source, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise VfsError(errno.ENOEXEC, f"{path} is no module of ours, a Python file: {error}") from error


def _declarations(tree: ast.Module, path: str) -> ModInfo:
    """Return what a module declares. Errors: ENOEXEC, with what is missing or wrong."""
    values: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and target.id in ("NAME", "CLASS", "REQUIRES"):
                try:
                    values[target.id] = ast.literal_eval(statement.value)
                except ValueError:
                    raise _bad(path, f"{target.id} is no constant (line {statement.lineno})") from None
    missing = [key for key in ("NAME", "CLASS", "REQUIRES") if key not in values]
    if missing:
        raise _bad(path, f"it does not declare {', '.join(missing)}")
    name, modclass, required = values["NAME"], values["CLASS"], values["REQUIRES"]
    if not _is_name(name):
        raise _bad(path, f"NAME is {name!r}: a name of at most {MAXMODNAME - 1} letters, digits and _")
    if not isinstance(modclass, str) or modclass not in MODULE_CLASSES:
        raise _bad(path, f"CLASS is {modclass!r}: one of {', '.join(MODULE_CLASSES)}")
    if not isinstance(required, tuple | list) or not all(map(_is_name, required)):
        raise _bad(path, f"REQUIRES is {required!r}: a tuple of names of modules")
    if len(required) > MAXMODDEPS:
        raise _bad(path, f"REQUIRES has {len(required)} names, and at most {MAXMODDEPS} are possible")
    return ModInfo(name, modclass, tuple(dict.fromkeys(required)))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) < MAXMODNAME and _NAME.fullmatch(value) is not None


def _bad(path: str, why: str) -> VfsError:
    return VfsError(errno.ENOEXEC, f"{path}: {why}")
