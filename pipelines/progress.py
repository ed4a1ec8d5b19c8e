"""What long work tells the user, on stderr."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType
from typing import IO, Any

import click

from pipelines.printing import printable

AGAIN_S = 0.01
"""How long after a signal that went nowhere it comes again."""


def say(text: str) -> None:
    """Print a line on stderr; of the processes that torchrun started, the first one does."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(printable(text), err=True)


@contextmanager
def bar(description: str, unit: str, total: int | None = None, is_shown: bool = True) -> Iterator[Any]:
    """Give a progress bar with rate and time left; it stays on the screen when done. One that is not shown only counts."""
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=f" {unit}", unit_scale=True, dynamic_ncols=True, disable=not is_shown) as shown:
        yield shown


def duration(seconds: float) -> str:
    """Return a span of time as people say it: `1 s` at least, `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Stopped(click.ClickException):
    """The user stopped the command: one line, and the exit code of the signal."""

    exit_code = 128 + signal.SIGINT

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on stderr."""
        click.echo(self.message, err=True, file=file)


class Ended(Stopped):
    """The system did."""

    exit_code = 128 + signal.SIGTERM


class Interruption:
    """Whether the user or the system asked the process to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def pending(self) -> bool:
        """Return whether it was asked."""
        return self.signal is not None

    def stopped(self, left: str) -> Stopped:
        """Return what ends the command, in one line that says what is `left` of its work."""
        return (Ended if self.signal == signal.SIGTERM else Stopped)(f"Stopped. {left}".rstrip())


@contextmanager
def saving(left: str) -> Iterator[Interruption]:
    """Let work find out by itself that Ctrl-C or SIGTERM came, save, and raise KeyboardInterrupt.

    It ends in one line, which says what is `left` of it; asked a second time, it ends at once.
    """
    asked = Interruption()

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked.pending():
            raise KeyboardInterrupt
        asked.signal = number
        say("Stopping; what is done is saved first (again to stop at once)")

    with _heard_by(ask):
        try:
            yield asked
        except KeyboardInterrupt as error:
            raise asked.stopped(left) from error


@contextmanager
def stoppable(left: str = "") -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the work in one line, which says what is `left` of it."""
    asked = Interruption()

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.signal = number
        raise KeyboardInterrupt

    with _heard_by(ask), _repeated(asked):
        try:
            yield
        except Stopped:
            raise
        except BaseException as error:
            # Libraries make something else of it: DuckDB a RuntimeError.
            if not (asked.pending() or isinstance(error, KeyboardInterrupt)):
                raise
            raise asked.stopped(left) from error


@contextmanager
def _repeated(asked: Interruption) -> Iterator[None]:
    """Ask again where the first time came while Python was deleting something, from where no exception gets out."""
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if asked.signal is None or not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
        else:
            Timer(AGAIN_S, os.kill, (os.getpid(), asked.signal)).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _heard_by(ask: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call `ask`; where the process was begun to ignore one of them, it still does."""
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
