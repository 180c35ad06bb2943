"""Overlays of images: what is in them, and what becomes of it."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final

from rumpfs.base.errors import VfsError
from rumpfs.cli.images.opening import reported
from rumpfs.cli.tool import FAILED, USAGE, Tool, json_name, json_text
from rumpfs.dev.holder import holder
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.overlaybase import difference
from rumpfs.dev.overlaycommit import commit, differences, drop, rebase
from rumpfs.dev.overlaystore import OverlayStore
from rumpfs.ondisk.overlay import BLOCK_SIZE, CLEAN, COMMITTING, OPEN

#: (state of the header, whether the running map counts) -> a word for it, and a sentence
_STATES: Final = {
    (CLEAN, True): ("clean", "it was closed"),
    (OPEN, True): ("killed", "its process was killed; nothing is lost"),
    (OPEN, False): ("cut", "the host went down; what was synced before is there"),
    (COMMITTING, True): ("committing", "a commit was cut short; rumpfs overlay commit finishes it"),
    (COMMITTING, False): ("committing", "a commit was cut short; rumpfs overlay commit finishes it"),
}


def run(tool: Tool, args: Namespace) -> None:
    """Do what the command line says."""
    with reported(args.overlay, args.overlay, USAGE if args.action == "diff" else FAILED):
        _ACTIONS[args.action](tool, args)


def _status(tool: Tool, args: Namespace) -> None:
    """Show what is known about an overlay."""
    store = OverlayStore.open(args.overlay, readonly=True, lock=False)
    try:
        facts = _facts(store, args.image)
    finally:
        store.close()
    if args.json:
        tool.write(json_text(facts))
        return
    changed = facts["image_changed"]
    image = os.fsdecode(args.image or store.header.path)
    rows = (
        ("overlay", args.overlay),
        ("image", f"{image}{f': {changed}' if changed else ', unchanged'}"),
        ("size", f"{facts['size']} bytes"),
        ("fingerprint", facts["fingerprint"]),
        ("changed", f"{facts['changed_blocks']} blocks of {BLOCK_SIZE} bytes"),
        ("on disk", f"{facts['allocated_bytes']} bytes"),
        ("state", f"{facts['state']}: {facts['explanation']}"),
    )
    tool.write("".join(f"{name + ':':13}{text}\n" for name, text in rows))


def _facts(store: OverlayStore, image: str) -> dict[str, Any]:
    header = store.header
    word, text = _STATES[header.state, store.sound]
    who = holder(store.fd)
    if who and header.state != CLEAN:
        word, text = "used", f"by process {who}"
    return {
        **json_name("overlay", os.fsencode(store.path)),
        **json_name("image", os.fsencode(image) or header.path),
        "image_changed": _changed(store, image or os.fsdecode(header.path)),
        "size": header.size,
        "fingerprint": header.fingerprint.hex(),
        "block_size": BLOCK_SIZE,
        "changed_blocks": store.map.count(),
        "changed_bytes": sum(nbytes for _, nbytes in store.map.runs()),
        "allocated_bytes": os.fstat(store.fd).st_blocks * 512,
        "state": word,
        "explanation": text,
        "holder": who or None,
    }


def _changed(store: OverlayStore, image: str) -> str | None:
    """Return how the image differs from what the overlay was made of; None when it does not."""
    try:
        base = HostFile.open(image, readonly=True, lock=False)
        try:
            return difference(base, store.header, store.map.has) or None
        finally:
            base.close()
    except VfsError as error:
        return f"it cannot be looked at: {error}"


def _diff(tool: Tool, args: Namespace) -> None:
    """Show which bytes of the image are changed."""
    found = differences(args.overlay, args.image)
    if args.json:
        extents = [{"offset": offset, "bytes": nbytes} for offset, nbytes in found]
        tool.write(json_text({"differences": extents}))
        tool.status = int(bool(extents))
        return
    for offset, nbytes in found:
        tool.write(f"{offset} {nbytes}\n")
        tool.status = 1


def _commit(tool: Tool, args: Namespace) -> None:
    written = commit(args.overlay, args.image, args.force)
    if args.json:
        tool.write(json_text({"written_bytes": written}))


def _drop(tool: Tool, args: Namespace) -> None:
    drop(args.overlay, args.force)
    if args.json:
        tool.write(json_text({}))


def _rebase(tool: Tool, args: Namespace) -> None:
    rebase(args.overlay, args.image, args.force)
    if args.json:
        tool.write(json_text({}))


_ACTIONS: Final[dict[str, Callable[[Tool, Namespace], None]]] = {
    "status": _status,
    "diff": _diff,
    "commit": _commit,
    "drop": _drop,
    "rebase": _rebase,
}
