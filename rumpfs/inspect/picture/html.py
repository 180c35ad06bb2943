"""Drawings as an HTML page of one file: what a square is, and whose, is told where the pointer is."""

from __future__ import annotations

import json
from html import escape
from typing import Final

from rumpfs.inspect.allocation import Allocation
from rumpfs.inspect.names import Names
from rumpfs.inspect.owners import Owners
from rumpfs.inspect.picture.drawing import Drawing
from rumpfs.inspect.picture.palette import STYLES, Painter
from rumpfs.inspect.picture.svg import svg
from rumpfs.inspect.raw import Raw

#: Files up to which a page knows the names and places of all.
_FILES: Final = 50_000

_STYLE: Final = """\
:root { color-scheme: light; }
body { margin: 0; background: #f6f8fa; color: #1f2328;
  font: 14px/1.4 system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { display: flex; gap: 16px; align-items: flex-start; padding: 16px; }
#map { background: #fff; border: 1px solid #d8dee4; border-radius: 8px; overflow: hidden; flex: none; }
#map svg { display: block; }
aside { position: sticky; top: 16px; width: 320px; max-height: calc(100vh - 32px); display: flex;
  flex-direction: column; }
input { font: inherit; padding: 8px 10px; border: 1px solid #d8dee4; border-radius: 8px; }
#files { list-style: none; margin: 8px 0 0; padding: 0; overflow: auto; }
#files li { padding: 3px 10px; border-radius: 6px; cursor: pointer; overflow-wrap: anywhere; }
#files li:hover { background: #eaeef2; }
#files li.chosen { background: #1f2328; color: #fff; }
#files small { color: #656d76; }
#files li.chosen small { color: #d8dee4; }
#tip { position: fixed; display: none; pointer-events: none; max-width: 420px; padding: 8px 10px;
  background: #1f2328; color: #fff; border-radius: 6px; font-size: 12px; white-space: pre-line;
  overflow-wrap: anywhere; z-index: 1; }
#veil { fill: #fff; fill-opacity: 0.72; }
#chosen { fill: #e11d48; }
#cursor { fill: none; stroke: #1f2328; stroke-width: 2; }
"""

_SCRIPT: Final = """\
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const picture = document.querySelector("#map svg");
const tip = document.getElementById("tip"), list = document.getElementById("files");
const search = document.getElementById("search");
const byInode = new Map();
data.runs.forEach(([frag, frags, ino], index) => {
  if (!byInode.has(ino)) byInode.set(ino, []);
  byInode.get(ino).push(index);
});
const files = [...byInode].sort(([a, left], [b, right]) => right.length - left.length
  || (data.names[a] || "").localeCompare(data.names[b] || ""));
let chosen = 0;

function cellAt(event) {
  const box = picture.getBoundingClientRect();
  const x = (event.clientX - box.left) * picture.viewBox.baseVal.width / box.width;
  const y = (event.clientY - box.top) * picture.viewBox.baseVal.height / box.height;
  for (const band of data.bands) {
    const column = Math.floor((x - band.x) / data.size), line = Math.floor((y - band.y) / data.size);
    const cell = line * data.width + column;
    if (column >= 0 && column < data.width && line >= 0 && cell < band.letters.length)
      return {band, cell, column, line};
  }
  return null;
}

function runsIn(frag, end) {
  let low = 0, high = data.runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.runs[middle][0] + data.runs[middle][1] <= frag) low = middle + 1; else high = middle;
  }
  const found = [];
  while (low < data.runs.length && data.runs[low][0] < end) found.push(data.runs[low++]);
  return found;
}

function describe({band, cell}) {
  const frag = band.frag + cell * data.cell;
  const end = Math.min(frag + data.cell, band.frag + band.frags);
  const where = data.cell === 1 ? `fragment ${frag}` : `fragments ${frag} to ${end - 1}`;
  const lines = [`${where}, byte ${frag * data.fragment}`];
  if (band.cgx >= 0) lines.push(`cylinder group ${Math.floor(frag / data.fpg)}`);
  lines.push((data.cell === 1 ? "" : "mostly: ") + (data.words[band.letters[cell]] || "marked"));
  const runs = runsIn(frag, end);
  for (const [start, frags, ino, lbn] of runs.slice(0, 6)) {
    const name = data.names[ino] || `inode ${ino}, which has no name`;
    const block = lbn + Math.floor(Math.max(0, frag - start) / data.frag);
    lines.push(`${name} (inode ${ino}), ${lbn < 0 ? "an indirect block" : `block ${block}`}`);
  }
  if (runs.length > 6) lines.push(`and ${runs.length - 6} more`);
  return {lines, runs};
}

function squares(indexes) {
  const parts = [];
  for (const index of indexes) {
    const [start, frags] = data.runs[index];
    for (const band of data.bands) {
      const from = Math.max(start, band.frag), to = Math.min(start + frags, band.frag + band.frags);
      if (from >= to) continue;
      const last = Math.floor((to - 1 - band.frag) / data.cell);
      for (let cell = Math.floor((from - band.frag) / data.cell); cell <= last; cell++) {
        const side = data.size - data.gap;
        const x = band.x + cell % data.width * data.size;
        const y = band.y + Math.floor(cell / data.width) * data.size;
        parts.push(`M${x} ${y}h${side}v${side}h-${side}z`);
      }
    }
  }
  return parts.join("");
}

function choose(ino) {
  chosen = chosen === ino ? 0 : ino;
  document.getElementById("chosen").setAttribute("d", chosen ? squares(byInode.get(chosen) || []) : "");
  document.getElementById("veil").setAttribute("d", chosen ? data.bands.map(band => {
    const lines = Math.ceil(band.letters.length / data.width);
    return `M${band.x} ${band.y}h${data.width * data.size}v${lines * data.size}h-${data.width * data.size}z`;
  }).join("") : "");
  show();
}

function show() {
  const wanted = search.value.toLowerCase();
  list.textContent = "";
  let shown = 0;
  for (const [ino, indexes] of files) {
    const name = data.names[ino] || `inode ${ino}`;
    if (ino !== chosen && !name.toLowerCase().includes(wanted)) continue;
    if (++shown > 500) break;
    const entry = document.createElement("li");
    entry.textContent = name + " ";
    const about = document.createElement("small");
    about.textContent = indexes.length === 1 ? "1 run" : `${indexes.length} runs`;
    entry.append(about);
    entry.className = ino === chosen ? "chosen" : "";
    entry.onclick = () => choose(ino);
    if (ino === chosen) list.prepend(entry); else list.append(entry);
  }
}

picture.addEventListener("mousemove", event => {
  const found = cellAt(event), cursor = document.getElementById("cursor");
  tip.style.display = found ? "block" : "none";
  cursor.setAttribute("visibility", found ? "visible" : "hidden");
  if (!found) return;
  tip.textContent = describe(found).lines.join("\\n");
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
  cursor.setAttribute("x", found.band.x + found.column * data.size - 1);
  cursor.setAttribute("y", found.band.y + found.line * data.size - 1);
});
picture.addEventListener("mouseleave", () => { tip.style.display = "none"; });
picture.addEventListener("click", event => {
  const found = cellAt(event), runs = found ? describe(found).runs : [];
  if (runs.length) choose(runs[0][2]); else if (chosen) choose(chosen);
});
search.addEventListener("input", show);
if (!data.runs.length) search.parentElement.remove(); else show();
"""


def html(raw: Raw, what: Allocation, drawing: Drawing) -> str:
    """Return a drawing as a page.

    Args:
        raw: the file system, for the names of files when they are not too many.
        what: what was drawn.
    """
    overlay = '<path id="veil" d=""/><path id="chosen" d=""/>'
    size = drawing.frame.size
    overlay += f'<rect id="cursor" visibility="hidden" width="{size + 1}" height="{size + 1}"/>\n'
    title = escape(drawing.scene.title)
    # "</" would end the element, whatever a file is called.
    data = json.dumps(_data(raw, what, drawing), separators=(",", ":")).replace("</", "<\\/")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
<div id="map">{svg(drawing.scene, overlay)}</div>
<aside><input id="search" type="search" placeholder="find a file" aria-label="find a file">
<ul id="files"></ul></aside>
</main>
<div id="tip"></div>
<script id="data" type="application/json">{data}</script>
<script>
{_SCRIPT}</script>
</body>
</html>
"""


def _data(raw: Raw, what: Allocation, drawing: Drawing) -> dict[str, object]:
    """Return what the page knows of the squares and of the files."""
    fs, frame = raw.fs, drawing.frame
    painter = Painter(what)
    bands = [
        {
            "x": x, "y": y, "frag": band.frag, "frags": band.frags, "cgx": band.cgx,
            "letters": painter.letters(band),
        }
        for band, (x, y) in zip(frame.grid.bands, drawing.places, strict=True)
    ]  # fmt: skip
    runs: list[tuple[int, int, int, int]] = []
    names: dict[int, str] = {}
    if what.contiguity.files <= _FILES:
        runs = [(run.frag, run.frags, run.ino, run.lbn) for run in Owners(raw).runs()]
        known = Names(raw)
        for ino in {run[2] for run in runs}:
            path = known.path(ino)
            if path is not None:
                names[ino] = path.decode("utf-8", "backslashreplace")
    return {
        "size": frame.size, "gap": frame.gap, "width": frame.grid.width, "cell": frame.grid.cell,
        "fragment": fs.fs_fsize, "frag": fs.fs_frag, "fpg": fs.fs_fpg, "bands": bands, "runs": runs,
        "names": names, "words": {style.letter: style.text for style in STYLES.values()},
    }  # fmt: skip
