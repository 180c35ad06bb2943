"""Making images with files in them."""

from __future__ import annotations

import gc
import os
import stat
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import IO, Any, Final

from rumpfs.base.address import AddressError, ImageAddress, parse_image
from rumpfs.base.errors import VfsError
from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.cli.images.newfs import describe
from rumpfs.cli.images.opening import opened, reported
from rumpfs.cli.images.reproducible import epoch, now, random_source
from rumpfs.cli.progress import AUTO, Progress
from rumpfs.cli.sources.archive import Archive
from rumpfs.cli.sources.directory import from_directory
from rumpfs.cli.sources.errors import SourceError, shown
from rumpfs.cli.sources.mtree import parse_mtree
from rumpfs.cli.sources.spec import Spec, new_root
from rumpfs.cli.sources.users import Users
from rumpfs.cli.tool import USAGE, Failure, Tool, json_text
from rumpfs.cli.verbs.makefs import SIZES
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.label import write_label
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.makefs.content import Changed
from rumpfs.fs.ffs.makefs.image import Makefs
from rumpfs.fs.ffs.makefs.node import Node, check, clamp_times, merge, set_times
from rumpfs.fs.ffs.makefs.plan import Plan
from rumpfs.fs.ffs.makefs.size import Amount, Need, check_parameters, fit
from rumpfs.fs.ffs.newfs_layout import FS_OPTSPACE, FS_OPTTIME, Parameters
from rumpfs.ondisk.layout import BIG, LITTLE, ORDER_NAMES

_SECOND: Final = 1_000_000_000
#: what makefs(8) takes when it is not told
_BSIZE: Final = 8192
_FSIZE: Final = 1024
_OPTIMIZATION: Final = {"time": FS_OPTTIME, "space": FS_OPTSPACE}
_VOLNAME_MAX: Final = 31
_INT_MAX: Final = (1 << 31) - 1
#: option of -o -> field of the parameters, least and largest value
_NUMBERS: Final = {
    "version": ("version", 1, 2),
    "bsize": ("bsize", 4096, 65536),
    "fsize": ("fsize", 512, 65536),
    "density": ("density", 1, _INT_MAX),
    "minfree": ("minfree", 0, 99),
    "maxbpg": ("maxbpg", 1, _INT_MAX),
    "maxbpcg": ("maxbpcg", 1, _INT_MAX),
    "extent": ("maxcontig", 1, _INT_MAX),
    "avgfilesize": ("avgfilesize", 1, _INT_MAX),
    "avgfpdir": ("avgfpdir", 1, _INT_MAX),
}


def run(tool: Tool, args: Namespace) -> None:
    """Make an image as the command line says."""
    try:
        image = parse_image(args.image)
    except AddressError as error:
        raise Failure(str(error), USAGE) from error
    for source in (*args.sources, *args.specs):
        if os.path.isfile(source) and os.path.exists(image.path) and os.path.samefile(source, image.path):
            raise Failure(f"{args.image}: the image is to be made of this; it is not written over")
    if args.exclude and not (args.specs or len(args.sources) > 1):
        raise Failure("-x leaves out what no manifest names, and there is none: give -F FILE", USAGE)
    sizes = _sizes(args)
    p = _parameters(args, sizes)
    progress = Progress(AUTO)
    gc.disable()  # a tree of many files is no garbage, and takes long to look through
    try:
        with ExitStack() as stack, _spool(image) as spool:
            root = _tree(args, spool, stack)
            _finish(root, sizes["timestamp"], p.version == 2)
            made = _make(args, image, root, p, sizes, progress)
    except SourceError as error:
        raise Failure(str(error)) from error
    except Changed as error:
        raise Failure(f"{shown(error.args[0])} changed while it was read") from error
    except VfsError as error:
        raise Failure(error.why or str(error)) from error
    except OSError as error:
        where = shown(os.fsencode(error.filename)) if error.filename else args.image
        raise Failure(f"{where}: {error.strerror or error}") from error
    finally:
        progress.end()
        gc.enable()
    tool.write(json_text(_document(args.image, *made)) if args.json else describe(args.image, made[0]))


# --- the command line


def _sizes(args: Namespace) -> dict[str, Any]:
    """Return the values of the options that are sizes; None for those that are not given."""
    found: dict[str, Any] = {}
    for option, name, *_ in SIZES:
        text = getattr(args, name)
        percent = name.startswith("free_") and text is not None and text.endswith("%")
        try:
            number = None if text is None else parse_size(text.rstrip("%") if percent else text, option)
        except SizeError as error:
            raise Failure(str(error), USAGE) from error
        found[name] = Amount(number or 0, percent) if name.startswith("free_") else number
    return found


def _parameters(args: Namespace, sizes: dict[str, Any]) -> Parameters:
    """Return what is wanted of the file system."""
    values: dict[str, Any] = {}
    for word in filter(None, ",".join(args.options).split(",")):
        name, equals, value = word.partition("=")
        if name == "optimization" and value in _OPTIMIZATION:
            values["optim"] = _OPTIMIZATION[value]
        elif name == "label" and equals:
            values["volname"] = os.fsencode(value)
        elif name in _NUMBERS and equals:
            field, least, largest = _NUMBERS[name]
            try:
                values[field] = parse_size(value, f"-o {name}", least, largest)
            except SizeError as error:
                raise Failure(str(error), USAGE) from error
        else:
            known = " ".join([*_NUMBERS, "optimization", "label"])
            raise Failure(f"-o {word}: the options are NAME=VALUE, with names out of {known}", USAGE)
    if len(values.get("volname", b"")) > _VOLNAME_MAX:
        raise Failure(f"a label has up to {_VOLNAME_MAX} bytes", USAGE)
    seconds = now()
    bsize = values.get("bsize") or 8 * values.get("fsize", _FSIZE)
    p = Parameters(
        order=BIG if args.order in ("be", "big", "4321") else LITTLE,
        seconds=seconds if sizes["timestamp"] is None else sizes["timestamp"],
        ident=(seconds & _INT_MAX, int.from_bytes(random_source()(4), "big") & _INT_MAX),
        secsize=sizes["secsize"] or 512,
        **{"bsize": bsize, "fsize": max(512, bsize // 8)} | values,
    )
    with reported(args.image, args.image, USAGE):
        check_parameters(p)
    return p


# --- the files


def _spool(image: ImageAddress) -> IO[bytes]:
    """Return a file for contents that cannot be read twice: beside the image, or where such files are.

    Errors: OSError, with the name of the directory.
    """
    directory = tempfile.gettempdir() if _existing(image) else os.path.dirname(os.path.abspath(image.path))
    try:
        return tempfile.TemporaryFile(dir=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, directory) from error


def _tree(args: Namespace, spool: IO[bytes], stack: ExitStack) -> Node:
    """Return the tree of all sources, with the manifests applied."""
    time = now() * _SECOND
    users = Users(args.dbdir)
    root: Node | None = None
    specs = list(args.specs)
    for source in args.sources:
        found = _source(source, spool, stack, time)
        if found is None:
            specs.append(source)
        elif root is None:
            root = found
        else:
            merge(root, found, args.replace)
    spec = Spec(root or new_root(time), users, time)
    for name in specs:
        with open(name, "rb") as file:
            spec.apply(parse_mtree(file.read(), name))
    if args.exclude:
        spec.only_named()
    return spec.root


def _source(text: str, spool: IO[bytes], stack: ExitStack, time: int) -> Node | None:
    """Return the tree of a directory or of an archive; None for a manifest."""
    if os.path.isdir(text):
        return from_directory(os.fsencode(text))
    if text != "-" and _is_text(text):
        return None
    archive = Archive(text, spool, time)
    stack.callback(archive.close)
    return archive.root


def _is_text(path: str) -> bool:
    """Whether a file is a manifest: it has no NUL where archives have many."""
    with open(path, "rb") as file:
        data = file.read(512)
    return b"\0" not in data and data[:3] not in (b"BZh", b"\xfd7z", b"\x1f\x8b\x08")


def _finish(root: Node, timestamp: int | None, ufs2: bool) -> None:
    """Set the times that are asked for, and see whether all of it can be."""
    latest = epoch()
    if timestamp is not None:
        set_times(root, timestamp * _SECOND)
    elif latest is not None:
        clamp_times(root, latest * _SECOND)
    check(root, ufs2)


# --- the image


def _make(
    args: Namespace, image: ImageAddress, root: Node, p: Parameters, sizes: dict[str, Any], progress: Progress
) -> tuple[Makefs, Plan]:
    """Plan and write the image."""
    layout = check_parameters(p)
    record = layout.superblock()
    progress.begin("looking at files", 0)
    plan = Plan(
        root, p.order, layout.bsize, layout.fsize, layout.bsize // layout.nindir,
        record.fs_maxsymlinklen, record.fs_maxfilesize, not args.allocate,
    )  # fmt: skip
    need = Need(
        plan.nblocks, len(plan.inodes), sizes["free_blocks"], sizes["free_files"], sizes["size"] or 0,
        sizes["minimum"] or 0, sizes["maximum"] or 0,
    )  # fmt: skip
    place = _existing(image)
    if place:
        with opened(args.image, readonly=False) as window:
            need = replace(need, size=need.size or window.size)
            return _write(args, window, plan, p, need, progress), plan
    size, p = fit(p, need)
    with _new_image(image.path, size) as window:
        return _write(args, window, plan, p, replace(need, size=size), progress), plan


def _existing(image: ImageAddress) -> bool:
    """Whether the file system goes into an image or device that is there."""
    if image.part or image.offset:
        return True
    try:
        return not stat.S_ISREG(os.stat(image.path).st_mode)
    except FileNotFoundError:
        return False


def _write(
    args: Namespace, window: Window, plan: Plan, p: Parameters, need: Need, progress: Progress
) -> Makefs:
    """Write the file system, and the disklabel."""
    size, p = fit(p, need)
    progress.begin(args.image, plan.nblocks * p.bsize)
    made = Makefs(size, p, random_source(), plan, progress.update)
    made.write(window, sync=False)
    if args.disklabel:
        write_label(window, order=p.order)
    return made


@contextmanager
def _new_image(path: str, size: int) -> Iterator[Window]:
    """Make a host file that appears under its name when the block has done its work, or not at all."""
    if os.path.exists(path):
        HostFile.open(path).close()  # whoever has it mounted holds its lock
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=f".{os.path.basename(path)}.")
    try:
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
        hostfile = HostFile.open(partial)
        try:
            hostfile.extend(size)
            yield Window(hostfile, 0, size, name=path)
        finally:
            hostfile.close()
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _document(image: str, made: Makefs, plan: Plan) -> dict[str, object]:
    """Return the JSON document of an image that was made."""
    fs = made.fs
    return {
        "image": image,
        "format": "UFS2" if fs.ufs2 else "UFS1",
        "byte_order": ORDER_NAMES[fs.order],
        "size": fs.bytes_needed,
        "block_size": fs.fs_bsize,
        "fragment_size": fs.fs_fsize,
        "groups": fs.fs_ncg,
        "inodes": fs.maxino,
        "files": len(plan.inodes),
        "frags_free": fs.free_frags,
    }
