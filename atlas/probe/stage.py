"""The probe stage: every expert against every hypothesis of every task.

Each task is a part of its own in `work/probe/<task>`, so that a run that is stopped goes on behind the last task it finished, and
another task costs no more than itself. What only all tasks together can say is made anew from the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from atlas.activations.model import LanguageModel
from atlas.dictionary import Checkpoint
from atlas.errors import TaskError
from atlas.harvest.inputs import describe_run, require_same_threads
from atlas.harvest.parts import STAGE as HARVEST
from atlas.origins import hashed
from atlas.probe.available import Absence
from atlas.probe.claims import Corpus, whole_tables
from atlas.probe.config import ProbeConfig
from atlas.probe.found import find
from atlas.probe.mentions import mention_rows
from atlas.probe.newline import measures_of
from atlas.probe.rows import label_embeddings, task_rows
from atlas.probe.tables import TaskTables, absences, beyond_window, task_tables
from atlas.probe.tasks import BUILTIN_TASKS, NEWLINE_TASKS, Task
from atlas.stages import Finished, Stage, fingerprint, finished, is_finished, require_same_inputs

STAGE = "probe"

FIRST_LABELLED = 1
"""Number of the first labelled task, as if there were one corpus; the number is moved when an atlas is assembled."""


def probe(
    checkpoint: Checkpoint,
    model: LanguageModel,
    tasks: Sequence[Task],
    absent: Sequence[Absence],
    work: Path,
    config: ProbeConfig,
    progress: Callable[[str], None] = lambda _: None,
    asked: Mapping[str, Any] | None = None,
) -> list[Absence]:
    """Score every expert on every hypothesis, keep the tables in `work/probe`, and return the tasks that turned out unusable.

    `asked` is what was asked for, so that it can be asked for again: `tasks`, of those that come with Atlas (None for all),
    `own`, the names of a user's, and `files`, the sha256 of each file that these may be read from.

    Raises:
        StageMissing: the harvest, whose firing rates lifts are measured against, has not finished.
        WorkOccupied: the folder holds a harvest of another dictionary or model.
        TaskError: no task can be used.
    """
    inputs = probe_inputs(checkpoint, model, tasks, absent, work, config)
    stage = Stage(work, STAGE, inputs)
    if stage.holds():
        return []
    require_harvest(work, {"checkpoint": checkpoint.sha256, "model": stage.inputs["model"], "dtype": model.dtype})
    device = describe_run(model)["device"]
    require_same_threads(work, device)
    origins = {task.name: _origin(task, inputs["tasks"][task.name]) for task in tasks}
    harvested = finished(work, HARVEST)
    unusable: list[Absence] = []
    probed: list[Task] = []
    for task in tasks:
        part = Stage(work, _part(task), part_inputs(inputs, task))
        try:
            if part.holds():
                progress(f"{task.title}: already probed")
            else:
                part.finish(_tables_of(task, checkpoint, model, harvested, config, progress), {})
            probed.append(task)
        except TaskError as error:
            progress(f"{task.title} is left out: {error}")
            unusable.append(Absence(task.name, task.title, str(error)))
    if not probed:
        raise TaskError("No task is left to probe: " + " ".join(one.reason for one in (*absent, *unusable)))
    parts = [(number, finished(work, _part(task)).tables) for number, task in enumerate(probed, start=FIRST_LABELLED)]
    tables = whole_tables(parts, corpus_of(harvested))
    missing = absences([(one.name, one.title, "task", one.reason) for one in (*absent, *unusable)])
    tables["absences"] = {name: [*missing[name], *tables.get("absences", {}).get(name, [])] for name in missing}
    origin = {"tasks": {task.name: origins[task.name] for task in probed}, "devices": {STAGE: device}}
    if asked is not None:
        origin["asked"] = dict(asked)
    stage.finish(tables, {"settings": {"probe": stage.inputs["settings"]}, **origin})
    return unusable


def _origin(task: Task, sha256: str) -> dict[str, Any]:
    """Return what a task was read from, and whether that is a user's own; `newline` tasks are made from the model's tokens."""
    return {
        "sha256": sha256,
        "files": hashed(task.files),
        "own": task.name not in (*BUILTIN_TASKS, *NEWLINE_TASKS),
    }


def _part(task: Task) -> str:
    return f"{STAGE}/{task.name}"


def _tables_of(
    task: Task,
    checkpoint: Checkpoint,
    model: LanguageModel,
    harvested: Finished,
    config: ProbeConfig,
    progress: Callable[[str], None],
) -> TaskTables:
    smixae = checkpoint.smixae
    rows = "rows" if task.matrix is not None else "sentences"
    progress(f"{task.title}: {len(task.sentences):,} {rows}, {smixae.n_experts:,} experts, {_many(len(task.hypotheses))}")
    run = task_rows(task, model, config.stream)
    if run.dropped:
        progress(f"{task.title}: {beyond_window(run)}")
    embedding = label_embeddings(run, model)
    found = find(
        task,
        run,
        smixae,
        None if embedding is None else embedding.cpu().numpy(),
        mention_rows(harvested.tables, task) if task.natural_mentions else None,
        measures_of(task, model, smixae, config),
        config,
    )
    return task_tables(found, _array(harvested, "frames", "frame"), _rates(harvested), model, _vocabulary(checkpoint, model))


def _many(n_hypotheses: int) -> str:
    return "1 hypothesis" if n_hypotheses == 1 else f"{n_hypotheses} hypotheses"


def require_harvest(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of the dictionary and its model with what the harvest in the work folder was made from.

    Raises:
        StageMissing: there is no finished harvest.
        WorkOccupied: it is of another dictionary or model.
    """
    inputs = fingerprint(work, HARVEST)
    harvested = {**inputs, "dtype": inputs["device"]["dtype"]}
    require_same_inputs(work / HARVEST, {key: harvested.get(key) for key in known}, known)


def unprobed(
    checkpoint: Checkpoint,
    model: LanguageModel,
    tasks: Sequence[Task],
    absent: Sequence[Absence],
    work: Path,
    config: ProbeConfig,
) -> list[Task] | None:
    """Return the tasks that are still to be probed; None where the work folder holds the probe that these inputs give."""
    if not is_finished(work, HARVEST):
        return list(tasks)
    inputs = probe_inputs(checkpoint, model, tasks, absent, work, config)
    if Stage(work, STAGE, inputs).holds():
        return None
    return [task for task in tasks if not Stage(work, _part(task), part_inputs(inputs, task)).holds()]


def probe_inputs(
    checkpoint: Checkpoint,
    model: LanguageModel,
    tasks: Sequence[Task],
    absent: Sequence[Absence],
    work: Path,
    config: ProbeConfig,
) -> dict[str, Any]:
    """Return everything that determines the result of a probe."""
    return {
        "checkpoint": checkpoint.sha256,
        **_run_of(model),
        "harvest": fingerprint(work, HARVEST),
        "tasks": {task.name: task.fingerprint() for task in tasks},
        "absent": {one.name: one.reason for one in absent},
        "settings": asdict(config),
    }


def _run_of(model: LanguageModel) -> dict[str, Any]:
    """Return how the model is run. On another number of threads the last bits differ, which is no reason to probe again."""
    run = describe_run(model)
    return {**run, "device": {name: value for name, value in run["device"].items() if name != "threads"}}


def part_inputs(inputs: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return, of what determines the result of a probe, what determines that of one task."""
    return {**{name: inputs[name] for name in inputs if name not in ("tasks", "absent")}, "task": inputs["tasks"][task.name]}


def _vocabulary(checkpoint: Checkpoint, model: LanguageModel) -> Int64[np.ndarray, "vocabulary"] | None:
    """Return the counts of the model's tokens in the training text; None where none are known, or those of another model."""
    known = checkpoint.trained_on
    return known.vocabulary if known and len(known.vocabulary) == len(model.embeddings) else None


def corpus_of(harvested: Finished) -> Corpus:
    """Return what titles need to know of the first corpus."""
    vocabulary = harvested.tables["vocabulary"]
    text = dict(zip(np.asarray(vocabulary["token"]).tolist(), vocabulary["text"], strict=True))
    firings = _array(harvested, "expert_stats", "firings")
    tokens: list[list[tuple[str, float]]] = [[] for _ in firings]
    columns = (_array(harvested, "expert_tokens", name).tolist() for name in ("expert", "token", "lift"))
    for expert, token, lift in zip(*columns, strict=True):
        tokens[expert].append((text[token], lift))
    return Corpus(_rates(harvested), firings, tokens)


def _rates(harvested: Finished) -> Float64[np.ndarray, "expert"]:
    """Return each expert's firing rate on the corpus, as if it had fired half a time more often: a silent one divides nothing."""
    firings = _array(harvested, "expert_stats", "firings")
    tokens = harvested.tables["tasks"]["tokens"][0]
    return (firings + 0.5) / (tokens + 1.0)


def _array(harvested: Finished, table: str, column: str) -> np.ndarray:
    """Return a column of the harvest, of its first corpus only."""
    values = harvested.tables[table][column]
    assert isinstance(values, np.ndarray)
    task = harvested.tables[table].get("task")
    return values if task is None else values[np.asarray(task) == 0]
