"""Commands of the path that are killed or stopped at a random moment, and run again."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import BUILD, STAGES, TRAIN, Ended, Reference, run, start
from outcomes import Outcome, is_lost, rows_and_bytes

SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
BEYOND = 1.05
"""Moments are drawn up to so many times what a command took: its very end is hit too."""


@dataclass(frozen=True)
class Kill:
    """One command to be stopped."""

    path: str
    """`new`, or `earlier` where the folder holds an atlas and a site of another configuration."""
    stage: str
    number: signal.Signals
    share: float
    """Of what the command takes without faults: when it is sent the signal."""

    def __str__(self) -> str:
        return f"{self.number.name} at {self.share:.4f} of {self.stage}, {self.path}"

    def done(self, wanted: Reference, folder: Path) -> Outcome:
        """Do it in a new folder, run again, and return what came of it."""
        wanted.copied(self.path, self.stage, folder)
        was_earlier = self.path == "earlier"
        command = start(folder, *(BUILD if self.stage == "build" else STAGES[self.stage]))
        under_way = command.after(self.share * wanted.before[self.path][self.stage])
        command.send(self.number)
        ended = command.ended()
        lost = is_lost(folder, wanted, was_earlier)
        again = self._run_again(folder)
        rows, same = rows_and_bytes(folder, wanted)
        finished = again.code == 0 and "Traceback" not in again.stderr
        details = f"{self}: {ended}; then {again}" if under_way else f"{self}: had ended"
        return Outcome(f"`{self.stage}` killed at a random moment", finished, rows, same, lost, self._named(ended), details)

    def _run_again(self, folder: Path) -> Ended:
        """Run a training again, then the whole path behind it."""
        for arguments in ([TRAIN] if self.stage == "train" else []) + [BUILD]:
            ended = run(folder, *arguments)
            if ended.code:
                break
        return ended

    def _named(self, ended: Ended) -> bool | None:
        """Return whether the command said that it was stopped, in one line and by its exit code; or was quicker."""
        if self.number == signal.SIGKILL:
            return None
        if ended.code == 0:
            return "Traceback" not in ended.stderr
        is_told = "Stopped." in "".join(ended.said[-1:]) and ended.stdout == "" and "Traceback" not in ended.stderr
        return ended.code == CODES[self.number] and is_told


def kills(wanted: Reference, count: int, seed: int) -> Iterator[Kill]:
    """Yield kills of every command of both paths with every signal in turn, at moments that the seed draws."""
    draw = random.Random(seed)
    # Counts of both have no common divisor, so that all pairs come up.
    commands = [(path, stage) for path, stages in wanted.before.items() for stage in stages]
    draw.shuffle(commands)
    for i in range(count):
        yield Kill(*commands[i % len(commands)], SIGNALS[i % len(SIGNALS)], draw.uniform(0, BEYOND))


def outcomes(wanted: Reference, count: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Do kills one after the other, each in a folder that is gone after it unless something was wrong."""
    for i, kill in enumerate(kills(wanted, count, seed)):
        at = folder / f"kill-{i}"
        outcome = kill.done(wanted, at)
        if outcome.is_good:
            shutil.rmtree(at)
        yield outcome
