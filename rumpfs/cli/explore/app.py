"""The browser: the tree on the left, what is known of its selection on the right."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, ScrollableContainer, VerticalScroll
from textual.widgets import Footer, Header, Static, TabbedContent, TabPane, Tree
from textual.widgets.tree import TreeNode
from textual.worker import Worker

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.cli.explore import panes
from rumpfs.cli.explore.extract import extract
from rumpfs.cli.explore.screens import Ask, Choose
from rumpfs.cli.explore.volumes import Choice, Volumes
from rumpfs.cli.images.opening import reported
from rumpfs.cli.images.studying import number
from rumpfs.cli.tool import Failure
from rumpfs.inspect import explain
from rumpfs.inspect.browse import Child, children, kind_of, search
from rumpfs.inspect.marks import inodes_of
from rumpfs.inspect.names import Names, lookup
from rumpfs.inspect.owners import Owners
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.shown import one_line
from rumpfs.ondisk.ufs.dinode import IFDIR
from rumpfs.ondisk.ufs.fs import ROOTINO

#: Entries of a directory that are put into the tree at a time; the next ones come with the cursor.
_ENTRIES: Final = 5000
#: What a search finds at most.
_FOUND: Final = 500


class Explorer(App[None]):
    """The browser.

    Args:
        volumes: the file systems of the image.

    Attributes:
        raw: the file system that is shown, once one is chosen.
        ino, path: what is selected in the tree.
        frag: the block that is shown.
    """

    TITLE = "rumpfs explore"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #tree { width: 36%; min-width: 24; border-right: solid $panel; }
    #panes { width: 1fr; }
    #fields { border-top: solid $panel; }
    #owner { padding: 0 1; background: $panel; }
    ScrollableContainer { padding: 0 1; }
    #bytes, #space { width: auto; }
    Ask, Choose { align: center middle; }
    .dialog { width: 80%; max-width: 100; height: auto; max-height: 80%; padding: 1 2;
      background: $surface; border: round $primary; }
    #options { height: auto; max-height: 30; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("slash", "search", "Search"),
        ("g", "go", "Go to"),
        ("b", "first_block", "First block"),
        ("o", "owner", "Owner"),
        ("n", "step(1)", "Next block"),
        ("p", "step(-1)", "Previous"),
        ("x", "extract", "Extract"),
        ("1", "pane('preview')", "Preview"),
        ("2", "pane('details')", "Inode"),
        ("3", "pane('hex')", "Block"),
        ("4", "pane('map')", "Map"),
    ]

    def __init__(self, volumes: Volumes) -> None:
        super().__init__()
        self._volumes = volumes
        self._choice = volumes.choices[0]
        self._names: Names | None = None
        self._owners: Owners | None = None
        self._rest: dict[int, list[Child]] = {}  # node -> what is not in the tree yet
        self.raw: Raw | None = None
        self.ino = ROOTINO
        self.path = b"/"
        self.frag = 0

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        yield Header()
        with Horizontal():
            yield Tree[Child]("/", Child(b"/", ROOTINO, IFDIR), id="tree")
            with TabbedContent(initial="preview", id="panes"):
                with TabPane("Preview", id="preview"), VerticalScroll():
                    yield Static(id="text", markup=False)
                with TabPane("Inode", id="details"), VerticalScroll():
                    yield Static(id="about", markup=False)
                with TabPane("Block", id="hex"):
                    yield Static(id="owner", markup=False)
                    with ScrollableContainer():
                        yield Static(id="bytes", markup=False)
                    with VerticalScroll(id="fields"):
                        yield Static(id="structure", markup=False)
                with TabPane("Map", id="map"), ScrollableContainer():
                    yield Static(id="space", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Open the file system, or ask which one."""
        choices = self._volumes.choices
        if len(choices) == 1:
            self._open(choices[0])
            return
        texts = [f"{choice.address}  {choice.text}" for choice in choices]
        self.push_screen(Choose("Which file system?", texts), self._chosen)

    def _chosen(self, index: int | None) -> None:
        if index is None or index < 0:
            self.exit()
        else:
            self._open(self._volumes.choices[index])

    def _open(self, choice: Choice) -> None:
        try:
            self.raw = self._volumes.open(choice)
        except Failure as failure:
            self.exit(message=failure.text, return_code=failure.status)
            return
        self._choice = choice
        self.sub_title = f"{choice.address}: {choice.text}"
        root = self._tree.root
        self._fill(root)
        root.expand()
        self._tree.focus()
        self._select(root)

    # --- the tree ---------------------------------------------------------------------------------

    @property
    def _tree(self) -> Tree[Child]:
        return self.query_one("#tree", Tree)

    def _fill(self, node: TreeNode[Child]) -> None:
        """Put what is in a directory into the tree, once."""
        if node.children or self.raw is None or node.data is None:
            return
        self._rest[node.id] = children(self.raw, node.data.ino)
        self._go_on(node, _ENTRIES)

    def _go_on(self, node: TreeNode[Child], count: int) -> TreeNode[Child] | None:
        """Put so many more entries of a directory into the tree; return the first one of them."""
        rest = self._rest.pop(node.id, [])
        if node.children and node.children[-1].data is None:
            node.children[-1].remove()
        made = [
            node.add(panes.label(child.name, child.kind), child, allow_expand=child.is_dir)
            for child in rest[:count]
        ]
        if len(rest) > count:
            self._rest[node.id] = rest[count:]
            node.add_leaf(f"... {len(rest) - count} more: go on for them")
        return made[0] if made else None

    def _below(self, node: TreeNode[Child], name: bytes) -> TreeNode[Child] | None:
        """Return the entry of a name in a directory of the tree; None when there is none."""
        waiting = (place for place, child in enumerate(self._rest.get(node.id, ()), 1) if child.name == name)
        place = next(waiting, 0)
        if place:
            self._go_on(node, -(-place // _ENTRIES) * _ENTRIES)
        return next((child for child in node.children if child.data and child.data.name == name), None)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Child]) -> None:
        """Read a directory when it is opened."""
        self._fill(event.node)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Child]) -> None:
        """Show what is selected; where the entries so far end, the next ones come."""
        node = event.node
        if node.data is None and node.parent is not None:
            following = self._go_on(node.parent, _ENTRIES)
            if following is not None:
                self.call_after_refresh(self._tree.move_cursor, following)
                self._select(following)
            return
        self._select(node)

    def _select(self, node: TreeNode[Child]) -> None:
        if node.data is None or self.raw is None:
            return
        self.ino = node.data.ino
        parts = []
        above: TreeNode[Child] | None = node
        while above is not None and above.parent is not None:
            parts.append(above.data.name if above.data else b"")
            above = above.parent
        self.path = b"/" + b"/".join(reversed(parts))
        self._refresh()

    def _reveal(self, path: bytes) -> bool:
        """Select a path in the tree; False when it cannot be found there."""
        node = self._tree.root
        for part in path.split(b"/"):
            if not part:
                continue
            self._fill(node)
            node.expand()
            below = self._below(node, part)
            if below is None:
                return False
            node = below
        # Its line is known when the tree has been drawn.
        self.call_after_refresh(self._tree.move_cursor, node)
        self._select(node)
        return True

    # --- what is on the right ---------------------------------------------------------------------

    @property
    def _panes(self) -> TabbedContent:
        return self.query_one("#panes", TabbedContent)

    def action_pane(self, name: str) -> None:
        """Show a pane."""
        self._panes.active = name

    def on_tabbed_content_tab_activated(self) -> None:
        """Bring a pane up to date when it is shown."""
        self._refresh()

    def _refresh(self) -> None:
        """Bring the pane that is shown up to date."""
        if self.raw is None:
            return
        show: dict[str, Callable[[Raw], Coroutine[None, None, None]]] = {
            "preview": self._show_preview, "details": self._show_details,
            "hex": self._show_block, "map": self._show_map,
        }  # fmt: skip
        self._start("pane", self._careful, show[self._panes.active], self.raw)

    def _start(
        self, group: str, work: Callable[..., Coroutine[None, None, None]], *args: object
    ) -> Worker[None]:
        """Let something be done while the user goes on; it ends what was begun before in its group."""
        call: Callable[[], Coroutine[None, None, None]] = partial(work, *args)
        return self.run_worker(call, exclusive=True, group=group)

    async def _careful(self, show: Callable[[Raw], Coroutine[None, None, None]], raw: Raw) -> None:
        """Bring a pane up to date; what is damaged is told."""
        try:
            with reported(self._choice.address, self._choice.address):
                await show(raw)
        except Failure as failure:
            self.notify(failure.text, severity="error", markup=False)

    def _put(self, widget: str, what: Any) -> None:
        self.query_one(f"#{widget}", Static).update(what)

    async def _show_preview(self, raw: Raw) -> None:
        self._put("text", await asyncio.to_thread(panes.preview, raw, self.ino))

    async def _show_details(self, raw: Raw) -> None:
        names = await self._with_names(raw)
        self._put("about", panes.details(await asyncio.to_thread(explain.inode, raw, self.ino, names)))

    async def _show_block(self, raw: Raw) -> None:
        names = await self._with_names(raw)
        owners = await self._with_owners(raw)
        found = await asyncio.to_thread(explain.frag, raw, self.frag, owners, names)
        for widget, what in zip(("owner", "bytes", "structure"), panes.block(raw, found), strict=True):
            self._put(widget, what)

    async def _show_map(self, raw: Raw) -> None:
        marked = {} if self.path == b"/" else {one_line(self.path): inodes_of(raw, self.path)}
        size = self._panes.size
        text = await asyncio.to_thread(
            panes.space, raw, self._choice.address, marked, size.width - 8, max(4, size.height - 22)
        )
        self._put("space", text)

    async def _with_names(self, raw: Raw) -> Names:
        if self._names is None:
            self._names = await asyncio.to_thread(Names, raw)
        return self._names

    async def _with_owners(self, raw: Raw) -> Owners:
        if self._owners is None:
            self._owners = await asyncio.to_thread(Owners, raw)
        return self._owners

    # --- from place to place ----------------------------------------------------------------------

    def show_block(self, frag: int) -> None:
        """Show a block."""
        if self.raw is not None and 0 <= frag < self.raw.size >> self.raw.fs.fs_fshift:
            self.frag = frag
            if self._panes.active == "hex":
                self._refresh()
            self._panes.active = "hex"
        else:
            self.notify(f"there is no block {frag}", severity="warning")

    def action_step(self, step: int) -> None:
        """Show the block before or behind."""
        self.show_block(self.frag + step)

    def action_first_block(self) -> None:
        """Show the first block of what is selected; of what has none, that of its inode."""
        raw = self.raw
        if raw is not None:
            extents = explain.inode(raw, self.ino, self._names).extents
            self.show_block(extents[0].frag if extents else raw.fs.ino_to_fsba(self.ino))

    def action_owner(self) -> None:
        """Select the owner of the block that is shown."""
        if self.raw is not None:
            self._start("go", self._go_to_owner, self.raw)

    async def _go_to_owner(self, raw: Raw) -> None:
        found = (await self._with_owners(raw)).at(self.frag)
        ino = next((owner.ino for owner in found if owner.ino), 0)
        if ino:
            await self._go_to_inode(raw, ino)
        else:
            self.notify(f"block {self.frag} belongs to no file", severity="warning")

    async def _go_to_inode(self, raw: Raw, ino: int) -> None:
        path = (await self._with_names(raw)).path(ino)
        if path is None or not self._reveal(path):
            self.ino, self.path = ino, b"/"
            self.notify(f"no name leads to inode {ino}", severity="warning")
        if self._panes.active == "hex":
            self._panes.active = "details"
        self._refresh()

    def action_go(self) -> None:
        """Ask for a place, and go there."""
        self.push_screen(Ask("Go to: /path, inode N, block N, byte N or group N"), self._go)

    def _go(self, text: str | None) -> None:
        if text and self.raw is not None:
            self._start("go", self._go_to, self.raw, text)

    async def _go_to(self, raw: Raw, text: str) -> None:
        try:
            if text.startswith("/"):
                await self._go_to_inode(raw, lookup(raw, os.fsencode(text)))
                return
            what, _, value = text.partition(" ")
            place = number(value.strip(), what)
        except VfsError as error:
            self.notify(f"{text}: {errno.strerror(error.errno)}", severity="warning", markup=False)
            return
        except Failure as failure:
            self.notify(failure.text, severity="warning", markup=False)
            return
        fs = raw.fs
        if what == "inode" and kind_of(raw, place):
            await self._go_to_inode(raw, place)
        elif what == "inode" and 0 <= place < fs.maxino:
            self.show_block(fs.ino_to_fsba(place))
        elif what in ("block", "byte", "group"):
            places = {"block": place, "byte": place >> fs.fs_fshift, "group": fs.cgtod(place)}
            self.show_block(places[what])
        else:
            self.notify(
                f"{text}: /path, inode N, block N, byte N or group N", severity="warning", markup=False
            )

    def action_search(self) -> None:
        """Ask for a part of a name, and show what has it."""
        self.push_screen(Ask("Names with"), self._search)

    def _search(self, text: str | None) -> None:
        if text and self.raw is not None:
            self._start("go", self._find, self.raw, text)

    async def _find(self, raw: Raw, text: str) -> None:
        names = await self._with_names(raw)
        found = await asyncio.to_thread(search, names, os.fsencode(text), _FOUND)
        if not found:
            self.notify(f"no name has {text}", severity="warning", markup=False)
            return
        more = ", and there are more" if len(found) == _FOUND else ""

        def chosen(index: int | None) -> None:
            if index is not None and index >= 0 and not self._reveal(found[index][0]):
                self.notify("it is not in the part of the tree that is shown", severity="warning")

        self.push_screen(Choose(f"{len(found)} names{more}", [one_line(path) for path, _ in found]), chosen)

    def action_extract(self) -> None:
        """Ask where to, and copy what is selected."""
        name = os.fsdecode(self.path.rpartition(b"/")[2]) or "root"
        self.push_screen(Ask(f"Copy {one_line(self.path)} to", f"./{name}"), self._extract)

    def _extract(self, target: str | None) -> None:
        if target:
            self._start("copy", self._copy, self.path, target)

    async def _copy(self, path: bytes, target: str) -> None:
        said = await asyncio.to_thread(extract, self._choice.address, path, target)
        if said:
            self.notify(said, severity="error", title="not all was copied", markup=False)
        else:
            self.notify(f"copied to {target}", markup=False)
