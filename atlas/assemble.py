"""The finished stages of a work folder ► one DuckDB file, written anew each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atlas.errors import WorkOccupied
from atlas.prompts import kept_prompts
from atlas.stages import Column, Finished, Ragged, fingerprint, finished, require_same_inputs, versions
from atlas.store import write_atlas
from atlas.store.schema import schema_columns

ATLAS_FILE = "atlas.duckdb"
STAGES = ("harvest", "probe", "geometry", "evaluate")
NULLABLE = {"windows": ("position", "label", "template", "report"), "points": ("label",)}
"""Columns that a corpus has nothing to say of."""

NO_EMPTY_LISTS = {"expert_stats": ("mean_code", "code_covariance", "importance_kept"), "shapes": ("spectrum",)}
"""List columns in which an empty list says that there is nothing: an arrays' file knows no NULL."""

SHOWN_LACKING = 2
"""Most columns that a message names."""

INTERNAL = ("frames", "codes")
"""Tables that one stage leaves for another, not for the atlas."""


def assemble(work: Path) -> Path:
    """Write `atlas.duckdb` in the work folder from its finished stages, in place of any earlier one, and return its path.

    Prompts of an earlier one of the same dictionary, model and hook are kept.

    Raises:
        StageMissing: a stage has not finished.
        WorkOccupied: one was made from another dictionary, model or stage than is here, or by an earlier version of Atlas.
    """
    stages = {name: finished(work, name) for name in STAGES}
    _require_one_subject(work, stages)
    stages["evaluate"] = _numbered_alike(stages["evaluate"], stages["probe"])
    tables: dict[str, dict[str, Any]] = {}
    # Labelled tasks come behind the corpora; where they are made their numbers begin at 1, as if there were one.
    shift = len(stages["harvest"].tables["tasks"]["task"]) - 1
    for table in dict.fromkeys(table for stage in stages.values() for table in stage.tables):
        if table not in INTERNAL:
            parts = [_renumbered(stage.tables[table], name, shift) for name, stage in stages.items() if table in stage.tables]
            frames = [_frame(part, NULLABLE.get(table, ())) for part in parts]
            absent = [pl.when(pl.col(name).list.len() > 0).then(name) for name in NO_EMPTY_LISTS.get(table, ())]
            tables[table] = pl.concat(frames, how="diagonal_relaxed").with_columns(absent).to_dict()
    _require_columns(work, tables)
    provenance = _provenance(list(stages.values()))
    provenance["versions"] = {**provenance.get("versions", {}), **versions("polars", "duckdb")}
    tables["provenance"] = _pairs(provenance)
    log = [(name, key, value) for name, stage in stages.items() for key, value in stage.run_log.items()]
    tables["run_log"] = {
        "stage": [name for name, _, _ in log],
        "key": [key for _, key, _ in log],
        "value": [json.dumps(value) for _, _, value in log],
    }
    path = work / ATLAS_FILE
    write_atlas(path, tables | kept_prompts(path, provenance))
    return path


def require_assemblable(work: Path) -> None:
    """Raise StageMissing unless every stage that an atlas is made of has finished."""
    for name in STAGES:
        fingerprint(work, name)


def _require_one_subject(work: Path, stages: dict[str, Finished]) -> None:
    """Raise WorkOccupied unless all stages are of the harvest's dictionary and model, and each of those before it here."""
    wanted = {key: stages["harvest"].inputs[key] for key in ("checkpoint", "model")}
    for name, stage in stages.items():
        require_same_inputs(work / name, {key: stage.inputs.get(key) for key in wanted}, wanted)
    for name, stage in stages.items():
        for before in stages.keys() & stage.inputs.keys():
            if stage.inputs[before] != stages[before].inputs:
                raise WorkOccupied(
                    f"'{work / name}' was made from another {before} than '{work / before}' holds now. Run `atlas {name}` again."
                )
    # It reads the corpus to another end, so that the hashes of its text differ.
    first = {"corpus": {"name": stages["harvest"].provenance["corpus"]["name"]}}
    require_same_inputs(work / "evaluate", {"corpus": {"name": stages["evaluate"].inputs["corpus"]["name"]}}, first)


def _require_columns(work: Path, tables: dict[str, dict[str, Any]]) -> None:
    """Raise WorkOccupied if stages left less than an atlas holds today."""
    known = schema_columns()
    lacking = [f"{table}.{column}" for table, columns in tables.items() for column in known[table] if column not in columns]
    if lacking:
        named = " or ".join(lacking[:SHOWN_LACKING]) + (" and more" if len(lacking) > SHOWN_LACKING else "")
        raise WorkOccupied(
            f"'{work}' was filled by an earlier version of Atlas: it has no {named}. "
            "Build in another work folder with --work, or delete this one."
        )


def _provenance(stages: list[Finished]) -> dict[str, Any]:
    """Return what every stage says of its origin; where two speak of one key, both are kept."""
    merged: dict[str, Any] = {}
    for stage in stages:
        for key, value in stage.provenance.items():
            merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    return merged


def _renumbered(columns: dict[str, Column], stage: str, shift: int) -> dict[str, Column]:
    """Return a stage's rows with its labelled tasks moved by so many numbers; those of geometry have the atlas' numbers."""
    if stage in ("harvest", "geometry") or "task" not in columns or not shift:
        return columns
    task = np.asarray(columns["task"])
    return {**columns, "task": np.where(task > 0, task + shift, task)}


def _numbered_alike(evaluate: Finished, probe: Finished) -> Finished:
    """Return an evaluation whose tasks have the probe's numbers, without those that were not probed.

    It measures every task that comes with Atlas, of which a probe may have chosen some.
    """
    named = list(evaluate.inputs["tasks"])
    numbers = dict(zip(probe.tables["tasks"]["name"], np.asarray(probe.tables["tasks"]["task"]).tolist(), strict=True))
    columns = evaluate.tables["evaluation"]
    task = np.array([0, *(numbers.get(name, -1) for name in named)])[np.asarray(columns["task"])]
    kept = np.flatnonzero(task >= 0)
    chosen = {name: _chosen(task if name == "task" else values, kept) for name, values in columns.items()}
    return evaluate._replace(tables={**evaluate.tables, "evaluation": chosen})


def _chosen(values: Column, kept: np.ndarray) -> Column:
    assert not isinstance(values, Ragged)
    return values[kept] if isinstance(values, np.ndarray) else [values[row] for row in kept]


def _frame(columns: dict[str, Column], nullable: tuple[str, ...]) -> pl.DataFrame:
    given = {name: _series(name, values) for name, values in columns.items()}
    height = len(next(iter(given.values())))
    missing = {name: pl.Series(name, [None] * height) for name in nullable if name not in given}
    return pl.DataFrame({**given, **missing})


def _series(name: str, values: Column) -> pl.Series:
    if isinstance(values, Ragged):
        return _lists(name, values)
    return pl.Series(name, values if isinstance(values, np.ndarray) else list(values))


def _lists(name: str, ragged: Ragged) -> pl.Series:
    """Return a column of lists, cut from one list of all values: a Python list per row would take seconds per million."""
    everything = pl.Series(name, ragged.values).implode()
    places = pl.DataFrame({"start": ragged.offsets[:-1], "length": np.diff(ragged.offsets)})
    if places.is_empty():
        return everything.clear()
    return places.select(pl.lit(everything).first().list.slice("start", "length")).to_series()


def _pairs(values: dict[str, Any]) -> dict[str, list[str]]:
    return {"key": list(values), "value": [json.dumps(value, ensure_ascii=False) for value in values.values()]}
