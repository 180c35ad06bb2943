"""What a peer says, as values."""

from __future__ import annotations

from typing import NamedTuple

from rumpfs.base.copy import Buffer


class RemoteProtocolError(Exception):
    """The peer broke the protocol in a way that ends its connection."""


# --- a client to a server ---------------------------------------------------------------------------


class Guest(NamedTuple):
    """A new process is wanted."""

    reqno: int
    comm: bytes


class Fork(NamedTuple):
    """The process parked under `cookie` is wanted; with `cancel` it is to be forgotten."""

    reqno: int
    cookie: bytes
    cancel: bool


class Exec(NamedTuple):
    """The client's process has a new image."""

    reqno: int
    comm: bytes


class Prefork(NamedTuple):
    """The process is to be copied and parked."""

    reqno: int


class Call(NamedTuple):
    """A system call; `args` is valid until the next bytes are received."""

    reqno: int
    number: int
    args: Buffer


class Malformed(NamedTuple):
    """A request that has to be answered with the error `code`; `fatal` ones end the connection."""

    reqno: int
    code: int
    fatal: bool


# --- either way --------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """The answer to an own request; `body` is valid until the next bytes are received."""

    reqno: int
    kind: int
    body: Buffer


class Failure(NamedTuple):
    """An ERROR frame (a client's copy failed; a server refused)."""

    reqno: int
    code: int


# --- a server to a client -----------------------------------------------------------------------------


class CopyRequest(NamedTuple):
    """The server wants `length` bytes at `addr`, or with `string` what is there up to a NUL."""

    reqno: int
    addr: int
    length: int
    string: bool


class CopyData(NamedTuple):
    """The server stores `data` at `addr`."""

    addr: int
    data: Buffer


class AnonMmap(NamedTuple):
    """The server wants memory in the client."""

    reqno: int
    length: int


class Signal(NamedTuple):
    """The server raises a signal (NetBSD number)."""

    signo: int


ServerEvent = Guest | Fork | Exec | Prefork | Call | Malformed | Answer
ClientEvent = Answer | Failure | CopyRequest | CopyData | AnonMmap | Signal
