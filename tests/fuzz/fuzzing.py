"""Runs many cases in a warm process beside this one, so that a crash or a hang is one case's and not the end of all."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

SHARES = {
    "checkpoint": 0.2,
    "task": 0.25,
    "corpus": 0.15,
    "prompts": 0.05,
    "atlas": 0.06,
    "netlify.toml": 0.07,
    "about": 0.07,
    "address": 0.08,
    "bookmarks": 0.07,
}
"""Of how many cases each kind is, by what they cost and what they may find."""
CASE = "case.json"
"""In the folder of each case: its kind and seed."""
DEADLINE = 60.0
"""Seconds that a case may take: many times what the slowest of them needs, on a machine that does other things too."""
FIRST = 180.0
"""Seconds that a process may take to start and make its originals."""
HERE = Path(__file__).parent


@dataclass
class Tally:
    """What became of the cases of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Path, str]] = field(default_factory=list)
    """Folder of each faulty case, and why it is one."""


class Worker:
    """The warm process; another one is started in place of one that died."""

    def __init__(self, folder: Path) -> None:
        self._originals, self._cases, self._log = folder / "originals", folder / "cases", folder / "log.txt"
        self._process: subprocess.Popen[str] | None = None

    def new_case(self, kind: str, seed: str) -> Path:
        """Return the folder of a case, which is not there."""
        case = self._cases / f"{kind.replace('.', '_')}-{seed}"
        shutil.rmtree(case, ignore_errors=True)
        return case

    def ask(self, kind: str, seed: str, folder: Path, *, keep: bool = False) -> tuple[str, str]:
        """Return the outcome of a case, and why."""
        fresh = self._process is None
        process = self._process = self._process or self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps({"kind": kind, "seed": seed, "folder": str(folder), "keep": keep}) + "\n")
            process.stdin.flush()
            line = _line(process.stdout, FIRST if fresh else DEADLINE)
        except BrokenPipeError:
            line = ""
        if line:
            answer = json.loads(line)
            return answer["outcome"], answer["why"]
        hung = line is None
        self.close()
        code = process.returncode
        last = self._log.read_text(encoding="utf-8", errors="replace")[-1500:]
        return "fault", f"It hung for {DEADLINE:.0f} s." if hung else f"The process died ({code}).\n{last}"

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        pass
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parents[1])]),
            "HF_HUB_OFFLINE": "1",
        }
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "reader", str(self._originals)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,
            )


def _line(pipe: IO[str], seconds: float) -> str | None:
    """Return the next line, empty at the end; None if there is none in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(seconds) else None


def cases(shares: dict[str, float], n: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield kind and seed of each case, kind after kind."""
    for kind, share in shares.items():
        for number in range(max(1, round(n * share))):
            yield kind, f"{seed}-{number}"


def fuzzed(asked: Iterable[tuple[str, str]], folder: Path) -> Iterator[tuple[str, str, str, Path]]:
    """Yield kind, outcome, reason and folder of each case as it is done; folders of faults stay."""
    with closing(Worker(folder)) as worker:
        for kind, seed in asked:
            case = worker.new_case(kind, seed)
            yield kind, *worker.ask(kind, seed, case), case


def read_again(case: Path, folder: Path) -> tuple[str, str]:
    """Return the outcome of a case that was kept, and why."""
    kept: dict[str, Any] = json.loads((case / CASE).read_text(encoding="utf-8"))
    with closing(Worker(folder)) as worker:
        return worker.ask(kept["kind"], kept["seed"], case, keep=True)


def tallied(results: Iterable[tuple[str, str, str, Path]]) -> dict[str, Tally]:
    """Return what became of the cases, by kind."""
    found: dict[str, Tally] = {}
    for kind, outcome, why, case in results:
        tally = found.setdefault(kind, Tally())
        tally.outcomes[outcome] += 1
        if outcome == "fault":
            tally.faults.append((case, why))
    return found


def table(found: dict[str, Tally]) -> str:
    """Return the tallies as a table of Markdown."""
    lines = ["| input | cases | right | refused by name | faults |", "|---|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for kind, tally in found.items():
        lines.append(_row(kind, tally.outcomes))
        total += tally.outcomes
    return "\n".join([*lines, _row("all", total)]) + "\n"


def _row(name: str, outcomes: Counter[str]) -> str:
    counts = (outcomes.total(), outcomes["right"], outcomes["refused"], outcomes["fault"])
    return f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |"
