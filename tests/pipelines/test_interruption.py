"""A command that is stopped ends in one line, leaves no half-written file, and gives the same bytes when it is run again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import atlas
import tiny
from atlas.probe.tasks import Task, builtin_tasks
from pipelines.cli import main
from templated import only

ROOT = Path(atlas.__file__).parents[1]
CHUNK = 700
CHECKPOINT = ("--checkpoint", "checkpoint")
HARVEST = ("harvest", *CHECKPOINT, "--corpus", "text.jsonl")
TRAIN = ("train", "--model", "bert", "--hook", tiny.HOOKS["bert"], "--corpus", "text.jsonl", "--batch", "64")

SLOWLY = f"""
import functools, time
import torch
import atlas.activations.corpus, atlas.dictionary.training, atlas.harvest.harvest
import atlas.probe.available, atlas.probe.stage, atlas.probe.tasks
from pipelines.cli import main

torch.set_num_threads(1)
atlas.activations.corpus.CHUNK_CHARACTERS = {CHUNK}
# A pass over a small corpus lasts some seconds, and is saved after each chunk.
wait = lambda **_: time.sleep(0.3)
atlas.harvest.harvest.SAVING_SHARE = 1e9
atlas.harvest.harvest.harvest = functools.partial(atlas.harvest.harvest.harvest, progress=wait, save_every_s=0.0)
# So do a training's steps.
Training = atlas.dictionary.training.Training
step = Training.step
Training.step = lambda training, rows: (time.sleep(0.05), step(training, rows))[1]
# So does a probe's scoring.
find = atlas.probe.stage.find
atlas.probe.stage.find = lambda *given: (time.sleep(0.5), find(*given))[1]
tasks = atlas.probe.tasks.builtin_tasks()[:2]
atlas.probe.tasks.builtin_tasks = atlas.probe.tasks.choice.builtin_tasks = lambda: tasks
atlas.probe.available.NEWLINE_TASKS.clear()
main()
"""
"""The commands, slowed down."""


@pytest.fixture(autouse=True)
def as_when_slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Task]]:
    """The same chunks and tasks in this process."""
    tasks = builtin_tasks()[:2]
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", CHUNK)
    only(monkeypatch, *tasks)
    yield tasks


@pytest.fixture
def folder(models: dict[str, Path], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in: a model, a dictionary for it, and text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").symlink_to(models["bert"])
    shutil.copy(corpus_file, "text.jsonl")
    tiny.checkpoint(tmp_path / "checkpoint", {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]})
    return tmp_path


def run(*arguments: str) -> str:
    """Run a command to its end, and return what it said."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, but for how long a stage took."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "done.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stopped(begun: Callable[[str], bool], number: signal.Signals, *arguments: str) -> tuple[int, str]:
    """Run a command slowly, send it a signal once it has `begun` by what it said, and return its exit code and last line."""
    said = Path("said.txt")
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY, *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        try:
            deadline = time.monotonic() + 60
            while not begun(said.read_text("utf-8")):
                assert process.poll() is None, said.read_text("utf-8")
                assert time.monotonic() < deadline, said.read_text("utf-8")
                time.sleep(0.02)
            process.send_signal(number)
            printed, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    text = said.read_text("utf-8")
    said.unlink()
    assert printed == b"" and "Traceback" not in text
    return process.returncode, text.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "number", "code", "left"),
    [
        ("harvest", signal.SIGINT, 130, "Chunks that were saved are kept in 'work'; the same command goes on from there."),
        ("build", signal.SIGTERM, 143, "What was finished is kept in 'work'; the same command goes on from there."),
    ],
    ids=["harvest, by Ctrl-C", "build, by SIGTERM"],
)
def test_stopped_harvest_goes_on_and_gives_the_same_bytes(
    command: str, number: signal.Signals, code: int, left: str, folder: Path
) -> None:
    run(*HARVEST, "--work", "uninterrupted")
    part = Path("work/harvest/corpus-0/part-0-of-1.safetensors")

    ended = stopped(lambda _: part.exists(), number, command, *HARVEST[1:])

    assert ended == (code, f"Stopped. {left}")
    assert part.exists() and not Path("work/harvest/done.json").exists()
    assert not Path("site").exists() and list(folder.rglob("*.part")) == list(Path("work").glob(".lock*")) == []
    said = run(*HARVEST)
    assert "Harvest: goes on, " in said
    assert contents(Path("work")) == contents(Path("uninterrupted"))


def test_stopped_probe_goes_on_behind_the_last_task_that_it_finished(folder: Path) -> None:
    run(*HARVEST)
    shutil.copytree("work", "uninterrupted")
    run("probe", *CHECKPOINT, "--work", "uninterrupted")

    ended = stopped(lambda said: "Weekdays: 308" in said, signal.SIGINT, "probe", *CHECKPOINT)

    assert ended == (130, "Stopped. Tasks that were finished are kept in 'work'; the same command goes on from there.")
    assert Path("work/probe/months/done.json").exists() and not Path("work/probe/done.json").exists()
    said = run("probe", *CHECKPOINT)
    assert "Probe: 1 task, 1 finished before: 308 rows" in said and "Months: already probed" in said
    assert contents(Path("work")) == contents(Path("uninterrupted"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_training_is_saved_and_goes_on_to_the_same_bits(folder: Path, number: int, code: int) -> None:
    train = (*TRAIN, "--experts", "8", "--k", "2", "--steps", "150", "--save-every", "60", "--log-every", "1")
    run(*train, "--work", "uninterrupted")

    ended = stopped(lambda said: "unexplained" in said, number, *train)

    assert ended == (code, "Stopped. 'work' keeps what was saved; the same command goes on from there.")
    (last,) = Path("work/train/under_way").glob("step-*")
    assert not Path("work/train/done.json").exists() and list(folder.rglob("*.part")) == []
    assert f"150 steps of 64 tokens, goes on from step {int(last.name.split('-')[1]):,}" in run(*train)
    assert contents(Path("work")) == contents(Path("uninterrupted"))


def test_training_that_is_stopped_before_its_first_step_leaves_nothing(folder: Path) -> None:
    before = contents(folder)

    for _ in range(5):
        ended = stopped(lambda said: "Training:" in said, signal.SIGINT, *TRAIN, "--steps", "1000000")
        if not Path("work/train/under_way").exists():
            break
        shutil.rmtree("work")  # on a busy machine the signal came after the first step, which is kept

    assert ended[0] == 130 and contents(folder) == before
