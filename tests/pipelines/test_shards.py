"""Commands of many machines, of killed processes, and of several corpora, each as it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import atlas
import tiny
from atlas.probe.tasks import builtin_tasks
from atlas.stages import finished
from atlas.store import Store
from harvests import assert_same
from pipelines.cli import main
from templated import only

ROOT = Path(atlas.__file__).parents[1]
CHUNK = 300
HARVEST = ("harvest", "--checkpoint", "checkpoint", "--corpus", "text.jsonl")
KILLS = 8

SMALL = f"""
import torch
import atlas.activations.corpus

torch.set_num_threads(1)
atlas.activations.corpus.CHUNK_CHARACTERS = {CHUNK}
"""
"""Chunks of a few documents, as the tests' own process has them."""

COMMAND = f"""
{SMALL}
from pipelines.cli import main

main()
"""

KILLED = f"""
import functools, json, os, random, signal, sys, time
{SMALL}
import atlas.activations.model, atlas.harvest.harvest, atlas.harvest.tables, atlas.harvest.timing, atlas.probe.tasks
import pipelines.loading
from pathlib import Path
from transformers.models.bert import modeling_bert, tokenization_bert
from pipelines.cli import main

# Every chunk is saved, and a file is half written for most of the time.
atlas.harvest.harvest.SAVING_SHARE = 1e9
begun, began = os.pipe()
harvest = atlas.harvest.harvest.harvest

def pass_(*arguments, **options):
    os.write(began, b"!")
    return harvest(*arguments, save_every_s=0.0, **options)

atlas.harvest.harvest.harvest = pass_
replace = os.replace
os.replace = lambda part, path: (time.sleep(0.04), replace(part, path))

delays = random.Random(5)
found = []
for _ in range({KILLS}):
    child = os.fork()
    if not child:
        main()
    os.read(begun, 1)
    time.sleep(delays.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    parts = Path("work/harvest").glob("corpus-0/part-*")
    found.append([os.WIFSIGNALED(status), len(list(Path("work").rglob(".*.part"))), [part.stat().st_mtime_ns for part in parts]])
print(json.dumps(found))
"""
"""The command, forked from a process that has everything loaded, and killed at random moments of its pass."""


def run(*arguments: str) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same chunks in this process."""
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", CHUNK)


@pytest.fixture
def folder(models: dict[str, Path], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in: a model, a dictionary for it, and text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").symlink_to(models["bert"])
    shutil.copy(corpus_file, "text.jsonl")
    tiny.checkpoint(tmp_path / "checkpoint", {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]})
    return tmp_path


def outside(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, with as many threads as this one has."""
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )


# Killed


def test_harvest_that_was_killed_at_random_moments_ends_in_the_same_tables(folder: Path) -> None:
    assert run(*HARVEST, "--work", "uninterrupted").exit_code == 0

    said = outside(sys.executable, "-c", KILLED, *HARVEST).stdout

    killed, halves, states = zip(*json.loads(said.splitlines()[-1]), strict=True)
    assert all(killed), "a run came to its end"
    assert sum(halves) > 0, "no kill hit a file that was half written"
    assert len({state[0] for state in states if state}) > 1, "later runs did not go on"
    assert not (folder / "work" / "harvest" / "done.json").exists()
    again = run(*HARVEST)
    assert again.exit_code == 0 and "Harvest: goes on, " in again.stderr
    assert_same(finished(folder / "work", "harvest").tables, finished(folder / "uninterrupted", "harvest").tables)
    assert list((folder / "work").rglob(".*.part")) == []
    assert sorted(path.name for path in Path("work/harvest").iterdir()) == ["done.json", "tables.json", "tables.safetensors"]


# torchrun


def test_processes_of_torchrun_are_shards_and_the_first_one_talks(folder: Path) -> None:
    Path("command.py").write_text(COMMAND)
    assert run(*HARVEST, "--work", "one").exit_code == 0
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--no-python", "--standalone", "--nproc-per-node", "2")

    outside(*torchrun, "--log-dir", "logs", "--redirects", "3", sys.executable, "command.py", *HARVEST)

    def said(rank: int, stream: str) -> str:
        (path,) = Path("logs").glob(f"**/{rank}/{stream}.log")
        return path.read_text()

    assert said(0, "stdout") == "work/harvest\n"
    assert "Shard 0/2 is run. When all 2 are, `atlas merge` puts them together.\n" in said(0, "stderr")
    assert (said(1, "stdout"), said(1, "stderr")) == ("", "")
    merged = run("merge")
    assert (merged.exit_code, merged.stderr) == (0, "Merging 2 parts\n")
    assert_same(finished(folder / "work", "harvest").tables, finished(folder / "one", "harvest").tables)


def test_shard_is_not_named_to_a_process_of_torchrun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")

    result = run(*HARVEST, "--shard", "0/2")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: --shard says 0/2, and torchrun gives this process 1/4; leave out --shard.\n"
    assert not Path("work").exists()


def test_process_of_torchrun_that_is_refused_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    result = run("harvest", "--checkpoint", "nowhere", "--corpus", "text.jsonl")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: No checkpoint folder at 'nowhere'.")


# Several corpora


@pytest.fixture
def one_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One labelled task, so that a probe is quick."""
    task = builtin_tasks()[1]
    only(monkeypatch, task)
    yield


def test_several_corpora_are_tasks_before_the_labelled_ones(folder: Path, one_task: None) -> None:
    Path("other.jsonl").write_text("\n".join(json.dumps({"text": text.upper()}) for text in tiny.documents(25)))
    corpora = ("--corpus", "text.jsonl", "--corpus", "other.jsonl")
    assert run("build", "--checkpoint", "checkpoint", "--corpus", "text.jsonl", "--work", "alone", "--out", "page").exit_code == 0

    result = run("build", "--checkpoint", "checkpoint", *corpora)

    assert (result.exit_code, result.stdout) == (0, "site/index.html\n")
    assert "Corpus: text.jsonl, all 40 documents" in result.stderr and "Corpus: other.jsonl, all 25 documents" in result.stderr
    with Store(folder / "work" / "atlas.duckdb") as both, Store(folder / "alone" / "atlas.duckdb") as alone:
        assert [(task.task, task.name, task.kind) for task in both.tasks()] == [
            (0, "text.jsonl", "corpus"),
            (1, "other.jsonl", "corpus"),
            (2, "weekdays", "labelled"),
        ]
        assert [task.name for task in alone.tasks()] == ["text.jsonl", "weekdays"]
        # What is of a labelled task has moved, and is otherwise what it is beside one corpus.
        for name in ("labels", "hypotheses", "scores", "baselines", "label_stats"):
            found, expected = both.table(name), alone.table(name)
            assert set(found["task"]) == {2} and len(found) == len(expected) > 0
            assert found.drop("task").equals(expected.drop("task"))
        # Titles and the figures of the evaluation are of the first corpus or of the labelled task.
        for name in ("titles", "evaluation"):
            found, expected = both.table(name), alone.table(name)
            moved = expected.with_columns(
                pl.when(pl.col("task") == 1).then(2).otherwise(pl.col("task")).cast(pl.Int32).alias("task")
            )
            assert found.equals(moved)
            assert 1 not in set(found["task"])
        for name in ("windows", "points", "vocabulary"):
            assert set(both.table(name)["task"]) == {0, 1, 2}
        for name in ("expert_stats", "top_firings", "token_sample", "co_firing", "label_mentions"):
            assert set(both.table(name)["task"]) <= {0, 1}
        assert both.experts()["firings"].equals(alone.experts()["firings"])


def test_two_corpora_of_one_name_are_refused_before_a_model_is_loaded(folder: Path) -> None:
    result = run(*HARVEST, "--corpus", "./text.jsonl")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: Two corpora are named 'text.jsonl'. Give each text once, and rename one of two that are called alike.\n"
    )
    assert not Path("work").exists()
