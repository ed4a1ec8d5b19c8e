"""Work that is spread over processes, in order, with an end that Ctrl-C reaches at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from typing import TypeVar

from atlas.errors import WorkerKilled

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 8
"""Items that a process is given at a time."""


def spread(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, told: Callable[[int, int], None]
) -> list[Result]:
    """Return `function` of each item, in order, by as many processes as `workers`, or here if that is one.

    `told` hears how many of how many are done. The processes are fresh ones that import only what `function` needs.

    Raises:
        WorkerKilled: one of them was ended from outside.
    """
    results: list[Result] = []
    if workers <= 1 or len(items) <= BATCH:
        for item in items:
            results.append(function(item))
            told(len(results), len(items))
        return results
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            with _out_of_reach():
                batches = [pool.submit(_batch, function, items[i : i + BATCH]) for i in range(0, len(items), BATCH)]
            for batch in batches:
                results += batch.result()
                told(len(results), len(items))
        except BrokenProcessPool as error:
            raise WorkerKilled(
                f"One of {workers} processes that measure clouds was killed, probably for lack of memory. What was finished is "
                "kept; go on with `atlas geometry --workers 1`, then run the same command again."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # What they are at may take half a minute.
            for process in active_children():
                process.terminate()
            raise
    return results


@contextmanager
def _out_of_reach() -> Iterator[None]:
    """Begin processes that Ctrl-C does not reach, not even before they can say so; here it comes when all are begun."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _batch(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


def _begin() -> None:
    """Leave Ctrl-C to the process that began this one, end when it does, and leave other cores to the other processes."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One that was killed cannot end its children, which would wait for work for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
