"""The finished stages of a work folder ► one DuckDB file, written anew each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atlas.stages import Column, Finished, Ragged, fingerprint, finished, require_same_inputs
from atlas.store import write_atlas

ATLAS_FILE = "atlas.duckdb"
STAGES = ("harvest", "probe", "evaluate")
NULLABLE = {"windows": ("position", "label", "template", "report"), "points": ("label",)}
"""Columns that a corpus has nothing to say of."""

INTERNAL = ("frames",)
"""Tables that one stage leaves for another, not for the atlas."""


def assemble(work: Path) -> Path:
    """Write `atlas.duckdb` in the work folder from its finished stages, in place of any earlier one, and return its path.

    Raises:
        StageMissing: a stage has not finished.
        WorkOccupied: one was made from another dictionary or model than the harvest.
    """
    stages = {name: finished(work, name) for name in STAGES}
    _require_one_subject(work, stages)
    tables: dict[str, dict[str, Any]] = {}
    for table in dict.fromkeys(table for stage in stages.values() for table in stage.tables):
        if table not in INTERNAL:
            parts = [stage.tables[table] for stage in stages.values() if table in stage.tables]
            frames = [_frame(part, NULLABLE.get(table, ())) for part in parts]
            tables[table] = pl.concat(frames, how="diagonal_relaxed").to_dict()
    tables["provenance"] = _pairs(_provenance(list(stages.values())))
    log = [(name, key, value) for name, stage in stages.items() for key, value in stage.run_log.items()]
    tables["run_log"] = {
        "stage": [name for name, _, _ in log],
        "key": [key for _, key, _ in log],
        "value": [json.dumps(value) for _, _, value in log],
    }
    path = work / ATLAS_FILE
    write_atlas(path, tables)
    return path


def require_assemblable(work: Path) -> None:
    """Raise StageMissing unless every stage that an atlas is made of has finished."""
    for name in STAGES:
        fingerprint(work, name)


def _require_one_subject(work: Path, stages: dict[str, Finished]) -> None:
    """Raise WorkOccupied unless all stages are of the harvest's dictionary and model."""
    wanted = {key: stages["harvest"].inputs[key] for key in ("checkpoint", "model")}
    for name, stage in stages.items():
        require_same_inputs(work / name, {key: stage.inputs.get(key) for key in wanted}, wanted)


def _provenance(stages: list[Finished]) -> dict[str, Any]:
    """Return what every stage says of its origin; where two speak of one key, both are kept."""
    merged: dict[str, Any] = {}
    for stage in stages:
        for key, value in stage.provenance.items():
            merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    return merged


def _frame(columns: dict[str, Column], nullable: tuple[str, ...]) -> pl.DataFrame:
    given = {name: _series(name, values) for name, values in columns.items()}
    height = len(next(iter(given.values())))
    missing = {name: pl.Series(name, [None] * height) for name in nullable if name not in given}
    return pl.DataFrame({**given, **missing})


def _series(name: str, values: Column) -> pl.Series:
    if isinstance(values, Ragged):
        return pl.Series(name, values.rows())
    return pl.Series(name, values if isinstance(values, np.ndarray) else list(values))


def _pairs(values: dict[str, Any]) -> dict[str, list[str]]:
    return {"key": list(values), "value": [json.dumps(value, ensure_ascii=False) for value in values.values()]}
