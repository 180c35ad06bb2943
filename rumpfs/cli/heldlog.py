"""Messages of the kernel: said as the verb that runs says things, or kept until they matter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rumpfs.cli.tool import Tool, say


class Spoken(logging.Handler):
    """Says messages on standard error, with the name of the verb that runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say a message."""
        say(f"{Tool.running}: {record.getMessage()}")


class _Kept(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.records.append(record)


@contextmanager
def held() -> Iterator[None]:
    """Hold messages back until the block has succeeded; an error says by itself what they say."""
    logger = logging.getLogger("rumpfs")
    kept = _Kept()
    logger.addHandler(kept)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(kept)
        logger.propagate = True
    for record in kept.records:
        logger.handle(record)
