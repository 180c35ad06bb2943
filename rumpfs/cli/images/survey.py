"""Looking at many images, each in a process of its own, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import time
from argparse import Namespace
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, NamedTuple

from rumpfs.cli.tool import Failure, Tool, json_line
from rumpfs.inspect.survey import survey


def run(tool: Tool, args: Namespace) -> None:
    """Print a line of JSON for each image of the command line."""
    found = _on_cluster(args) if args.dask else _in_processes(args)
    for document in _ordered(found) if args.ordered else (document for _, document in found):
        tool.write(json_line(document))
        tool.flush()
        if document["error"] is not None:
            tool.error(document["error"])


def _ordered(found: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield documents by their numbers."""
    waiting = {}
    following = 0
    for number, document in found:
        waiting[number] = document
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _failed(image: str, why: str) -> dict[str, Any]:
    return {"image": image, "error": f"{image}: {why}"}


# --- processes --------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    """A process that looks at an image."""

    number: int
    image: str
    process: ForkProcess
    deadline: float


def _look(sender: Connection, image: str, digest: bool) -> None:
    sender.send(survey(image, digest=digest))


def _in_processes(args: Namespace) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what is in each image, as soon as it is known, with the number of the image."""
    context = multiprocessing.get_context("fork")  # nothing here has threads
    pending = list(enumerate(args.image))[::-1]
    jobs: dict[Connection, _Job] = {}
    try:
        while pending or jobs:
            while pending and len(jobs) < (args.jobs or os.cpu_count() or 1):
                number, image = pending.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_look, args=(sender, image, args.digest))
                process.start()
                sender.close()
                jobs[receiver] = _Job(number, image, process, time.monotonic() + args.timeout)
            soonest = min(job.deadline for job in jobs.values())
            ready = wait(list(jobs), max(0, soonest - time.monotonic()))
            now = time.monotonic()
            for receiver, job in list(jobs.items()):
                if receiver in ready:
                    found = _received(receiver, job)
                elif job.deadline <= now:
                    found = _failed(job.image, f"given up after {args.timeout} seconds")
                else:
                    continue
                del jobs[receiver]
                _end(receiver, job)
                yield job.number, found
    finally:
        for receiver, job in jobs.items():
            _end(receiver, job)


def _received(receiver: Connection, job: _Job) -> dict[str, Any]:
    """Return what a process has found."""
    try:
        found: dict[str, Any] = receiver.recv()
    except EOFError:
        job.process.join()
        return _failed(job.image, f"its process ended with status {job.process.exitcode}")
    return found


def _end(receiver: Connection, job: _Job) -> None:
    receiver.close()
    job.process.kill()
    job.process.join()
    job.process.close()


# --- a cluster --------------------------------------------------------------------------------------------


def _on_cluster(args: Namespace) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what the workers of a Dask cluster find in the images, with their numbers."""
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        text = "--dask needs the Python package distributed: pip install rumpfs[dask]"
        raise Failure(text) from error
    try:
        client = Client(args.dask, timeout=args.timeout)
    except (OSError, ValueError) as error:
        raise Failure(f"{args.dask}: {error}") from error
    with client:
        futures = {
            client.submit(survey, image, digest=args.digest, pure=False): number
            for number, image in enumerate(args.image)
        }
        for future in as_completed(futures):
            number = futures[future]
            failure = future.exception()
            yield number, future.result() if failure is None else _failed(args.image[number], str(failure))
