"""Records of a trace as text and as JSON (NetBSD: kdump(1))."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from rumpfs.abi import errno, signal
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.decode import Bytes, Change, Decoder, More, Value
from rumpfs.sysproxy.ktrace import Called, Noted, Record

#: bytes of a buffer that are shown, unless somebody wants another number
STRSIZE: Final = 32
_REFUSALS: Final = {number: name for name, number in vars(wire).items() if name.startswith("ERR_")}

# --- text -------------------------------------------------------------------------------------------

_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", '"': '\\"', "\\": "\\\\"}


def quoted(data: bytes) -> str:
    """Return bytes as a string in quotes; what cannot be printed is escaped as in C."""
    letters = []
    for letter in data.decode(errors="surrogateescape"):
        if letter in _ESCAPES:
            letters.append(_ESCAPES[letter])
        elif letter.isprintable():
            letters.append(letter)
        else:
            raw = letter.encode(errors="surrogateescape")
            letters.append("".join(f"\\x{byte:02x}" for byte in raw))
    return f'"{"".join(letters)}"'


def _text(value: Value, strsize: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, Bytes):
        shown = value.data if value.path else value.data[:strsize]
        return quoted(shown) + (f"...({value.length})" if value.length > len(shown) else "")
    if isinstance(value, Change):
        return f"{_text(value.before, strsize)} => {_text(value.after, strsize)}"
    if isinstance(value, More):
        return f"...({value.number} more)"
    if isinstance(value, list):
        return f"[{', '.join(_text(item, strsize) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}={_text(item, strsize)}' for name, item in value.items())}}}"
    return str(value)


def name(call: Called) -> str:
    """Return the name of a call; of one that is not in the table, its number."""
    return f"syscall_{call.number}" if call.row is None else call.row.name


def _error_name(number: int) -> str:
    return errno.NAMES.get(number, f"E{number}")


def failed(call: Called) -> bool:
    """Whether a call ended without a result: with an error, or refused, or not at all."""
    return call.error is None or bool(call.error and not (call.row is not None and call.row.noerr))


def _outcome(call: Called, decoder: Decoder) -> str:
    if call.refused:
        return f"? refused: {_refusal(call.refused)}"
    if call.error is None:
        return "?"
    if failed(call):
        return f"-1 {_error_name(call.error)} ({errno.strerror(call.error)})"
    return _text(decoder.result(), STRSIZE)


def text(record: Record, strsize: int = STRSIZE) -> str:
    """Return a record as a line, without its end.

    Args:
        record: what happened.
        strsize: bytes of buffers that are shown; paths are shown whole.
    """
    origin = record.origin
    who = f"c{origin.conn}" if origin.pid is None else str(origin.pid)
    if isinstance(record, Noted):
        mark = "---" if record.event == "signal" else "+++"
        return f"{who} {mark} {_NOTES[record.event](record)} {mark}"
    decoder = Decoder(record)
    arguments = ", ".join(_text(value, strsize) for value in decoder.arguments().values())
    outcome = _outcome(record, decoder)
    return f"{who}.{record.lwp} {name(record)}({arguments}) = {outcome} <{record.elapsed:.6f}>"


def _refusal(code: int) -> str:
    return _REFUSALS.get(code, str(code))


def _signal(number: int) -> str:
    return signal.NAMES.get(number, f"signal {number}")


def _on(note: Noted) -> str:
    """Return which connection it is, where that has not been said already."""
    return "" if note.origin.pid is None else f" on c{note.origin.conn}"


def _fork(note: Noted) -> str:
    return f"fork {note.name.hex()}{_on(note)}" + (f", made on c{note.number}" if note.number else "")


#: what is said of each event
_NOTES: Final[dict[str, Callable[[Noted], str]]] = {
    "connect": lambda note: "connect",
    "guest": lambda note: f"guest {quoted(note.name)}{_on(note)}",
    "prefork": lambda note: f"prefork {note.name.hex()}",
    "fork": _fork,
    "cancel": lambda note: f"cancel {note.name.hex()}",
    "exec": lambda note: f"exec {quoted(note.name)}",
    "process": lambda note: f"process {note.number}{_on(note)}",
    "signal": lambda note: _signal(note.number),
    "refused": lambda note: f"{note.name.decode()} refused: {_refusal(note.number)}",
    "disconnect": lambda note: f"disconnect{_on(note)}",
    "stopped": lambda note: f"tracing of c{note.origin.conn} stopped: {note.name.decode()}",
}


# --- JSON -------------------------------------------------------------------------------------------


def _json(value: Value, strsize: int) -> Any:
    if isinstance(value, Bytes):
        data = value.data if value.path else value.data[:strsize]
        try:
            shown: dict[str, Any] = {"text": data.decode()}
        except UnicodeDecodeError:
            shown = {"b64": base64.b64encode(data).decode()}
        return shown["text"] if value.path and "text" in shown else {**shown, "length": value.length}
    if isinstance(value, Change):
        return {"before": _json(value.before, strsize), "after": _json(value.after, strsize)}
    if isinstance(value, More):
        return {"more": value.number}
    if isinstance(value, list):
        return [_json(item, strsize) for item in value]
    if isinstance(value, dict):
        return {key: _json(item, strsize) for key, item in value.items()}
    return value


def document(record: Record, strsize: int = STRSIZE) -> dict[str, Any]:
    """Return a record as what becomes a JSON object; arguments as for `text`."""
    origin = record.origin
    head = {"at": round(origin.at, 6), "connection": origin.conn, "pid": origin.pid}
    if isinstance(record, Noted):
        detail: dict[str, Any] = {}
        if record.event in ("prefork", "fork", "cancel"):
            detail["cookie"] = record.name.hex()
        elif record.name:
            detail["name"] = record.name.decode(errors="replace")
        if record.event == "signal":
            detail["signal"] = _signal(record.number)
        elif record.event == "refused":
            detail["error"] = _refusal(record.number)
        elif record.event == "fork":
            detail["made_on"] = record.number or None
        return {**head, "event": record.event, **detail}
    decoder = Decoder(record)
    arguments = {key: _json(value, strsize) for key, value in decoder.arguments().items()}
    refused = _refusal(record.refused) if record.refused else None
    return {
        **head,
        "event": "call",
        "lwp": record.lwp,
        "call": name(record),
        "args": arguments,
        "result": None if failed(record) else _json(decoder.result(), strsize),
        "error": refused or (_error_name(record.error) if record.error and failed(record) else None),
        "elapsed": round(record.elapsed, 6),
    }
