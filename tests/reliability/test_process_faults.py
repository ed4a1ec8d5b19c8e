"""Processes that meet each other, a clock that goes backwards, a model that returns NaN, and a worker that is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from harness import (
    BUILD,
    CHECKPOINT,
    SITE,
    STAGES,
    Ended,
    Reference,
    Running,
    assert_as_without_faults,
    finish,
    run,
    start,
)

YEAR_S = 3.2e7


def refusal(ended: Ended) -> str:
    """The one line that a command was refused with, behind what it said it would do."""
    assert ended.code == 1 and ended.stdout == "" and "Traceback" not in ended.stderr
    return ended.said[-1].removeprefix("Error: ")


# Two at once


def test_second_build_in_a_work_folder_is_refused_and_the_first_comes_out_right(wanted: Reference, tmp_path: Path) -> None:
    folder = wanted.copied("new", "build", tmp_path / "at")
    one = start(folder, *BUILD)
    one.until(lambda: "Loading" in one.said())
    one.send(signal.SIGSTOP)

    other = run(folder, *BUILD)

    assert refusal(other) == "Another run is using 'work'. Wait for it, or name another work folder with --work."
    one.send(signal.SIGCONT)
    assert one.ended().code == 0
    assert_as_without_faults(folder, wanted)


def test_second_bake_into_a_site_is_refused_and_the_first_comes_out_right(wanted: Reference, tmp_path: Path) -> None:
    folder = wanted.copied("earlier", "bake", tmp_path / "at")
    one = start(folder, *STAGES["bake"])
    one.until((folder / SITE / ".atlas-bake" / "site").is_dir)
    one.send(signal.SIGSTOP)

    other = run(folder, *STAGES["bake"])

    assert refusal(other) == "Another bake is writing into 'site'. Wait for it, or name another folder."
    one.send(signal.SIGCONT)
    assert one.ended().code == 0
    assert_as_without_faults(folder, wanted)


# The clock


def backwards() -> None:
    """Let the clock go back by an hour each time that it is looked at."""
    now, steps = time.time(), count()
    patch = pytest.MonkeyPatch()
    patch.setattr(time, "time", lambda: now - 3600.0 * next(steps))
    patch.setattr(time, "strftime", lambda form, *_: "1999-12-31T23:59:59+0000")


def test_clock_that_goes_backwards_changes_nothing(wanted: Reference, tmp_path: Path) -> None:
    folder = wanted.copied("earlier", "build", tmp_path / "at")
    for path in folder.rglob("*"):
        os.utime(path, (time.time() + YEAR_S,) * 2, follow_symlinks=False)
    command = start(folder, *BUILD, first=backwards)
    command.after(wanted.before["earlier"]["build"] / 2)
    command.send(signal.SIGKILL)
    command.ended()

    finish(folder, *BUILD, first=backwards)

    assert_as_without_faults(folder, wanted)


# NaN


def nan_now_and_then() -> None:
    """Let the language model return NaN for the first window of every third batch."""
    from atlas.activations.model import LanguageModel

    rows, batches = LanguageModel.rows, count(1)

    def broken(model: LanguageModel, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        x = rows(model, ids, attended).clone()
        if next(batches) % 3 == 0:
            x[0] = torch.nan
        return x

    pytest.MonkeyPatch().setattr(LanguageModel, "rows", broken)


@pytest.mark.parametrize(
    ("stage", "place"),
    [
        ("train", "window 0 of document "),
        ("harvest", "window 0 of document "),
        ("probe", "the text '"),
        ("evaluate", "window 0 of document "),
    ],
)
def test_nan_of_the_model_is_refused_with_its_text_and_without_it_the_run_goes_on(
    stage: str, place: str, wanted: Reference, tmp_path: Path
) -> None:
    folder = wanted.copied("new", stage, tmp_path / "at")

    ended = run(folder, *STAGES[stage], first=nan_now_and_then)

    said = refusal(ended)
    assert said.startswith(f"'bert' returned values that are not finite for {place}")
    assert said.endswith("Leave that text out, or fetch the model anew.")
    finish(folder, *STAGES[stage])
    finish(folder, *BUILD)
    assert_as_without_faults(folder, wanted)


# Workers

GEOMETRY = ("geometry", "--checkpoint", CHECKPOINT, "--workers", "2")


def children(pid: int) -> list[int]:
    """The processes that a process began and that are running."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8").rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_text("utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and "spawn_main" in command:
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def measuring(wanted: Reference, tmp_path: Path) -> Iterator[tuple[Running, Path, list[int]]]:
    """A geometry under way with two workers, its folder, and the workers."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc to find the workers in")
    folder = wanted.copied("new", "geometry", tmp_path / "at")
    command = start(folder, *GEOMETRY)
    command.until(lambda: len(children(command.pid)) == 2)
    yield command, folder, children(command.pid)
    command.send(signal.SIGKILL)


def test_killed_worker_is_said_and_the_next_run_goes_on(measuring: tuple[Running, Path, list[int]], wanted: Reference) -> None:
    command, folder, workers = measuring
    os.kill(workers[1], signal.SIGKILL)

    said = refusal(command.ended())

    assert said.startswith("One of 2 processes that measure clouds was killed, probably for lack of memory.")
    finish(folder, *GEOMETRY[:-1], "1")
    finish(folder, *BUILD)
    assert_as_without_faults(folder, wanted)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_command_and_ctrl_c_is_one_line(
    number: signal.Signals, measuring: tuple[Running, Path, list[int]], wanted: Reference
) -> None:
    command, folder, workers = measuring
    if number == signal.SIGINT:
        # A terminal sends it to all of them, and they may not even have begun.
        for worker in workers:
            os.kill(worker, number)
    command.send(number)

    ended = command.ended()

    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    if number == signal.SIGINT:
        last = "Stopped. Parts that were finished are kept in 'work'; the same command goes on from there."
        assert ended.code == 130 and ended.said[-1] == last and "Traceback" not in ended.stderr
    finish(folder, *BUILD)
    assert_as_without_faults(folder, wanted)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
