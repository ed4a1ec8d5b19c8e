"""The work folder: what each stage was made from, what it found, and whether it is whole.

A stage keeps its parts in `work/<stage>/`. Its tables are written first and `done.json` last, each renamed when whole, so a
stage is finished exactly if it has a `done.json`; skipping, resuming and assembling look nowhere else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from atlas.errors import StageMissing, WorkOccupied

DONE = "done.json"


class Ragged(NamedTuple):
    """A column of lists: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[Any]
    offsets: NDArray[Any]

    def rows(self) -> list[list[Any]]:
        """Return the lists."""
        return [part.tolist() for part in np.split(self.values, self.offsets[1:-1])] if len(self.offsets) > 1 else []


Column = NDArray[Any] | Ragged | list[Any]
"""Numbers as an array (NaN where there is none), lists as Ragged, text as a list."""

Tables = Mapping[str, Mapping[str, Column]]
"""Table ► column ► values."""


class Stage:
    """A stage's folder, and the inputs that determine its result."""

    def __init__(self, work: Path, name: str, inputs: Mapping[str, Any]) -> None:
        self.name = name
        self.folder = work / name
        self.inputs: dict[str, Any] = json.loads(json.dumps(inputs))
        self._started = time.monotonic()

    def is_done(self) -> bool:
        """Return whether the stage is finished for these inputs.

        Raises:
            WorkOccupied: it is finished for other inputs, which the message names.
        """
        path = self.folder / DONE
        if not path.is_file():
            return False
        require_same_inputs(self.folder, json.loads(path.read_text(encoding="utf-8"))["inputs"], self.inputs)
        return True

    def finish(self, tables: Tables, provenance: Mapping[str, Any]) -> None:
        """Write the stage's tables, then its `done.json` with what it was made from and what it found."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {}
        texts: dict[str, list[Any]] = {}
        for table, columns in tables.items():
            for column, values in columns.items():
                key = f"{table}.{column}"
                if isinstance(values, Ragged):
                    arrays[f"{key}.values"] = np.ascontiguousarray(values.values)
                    arrays[f"{key}.offsets"] = np.ascontiguousarray(values.offsets)
                elif isinstance(values, np.ndarray):
                    arrays[key] = np.ascontiguousarray(values)
                else:
                    texts[key] = values
        write_arrays(self.folder / "tables.safetensors", arrays)
        write_json(self.folder / "tables.json", texts)
        log = {"seconds": round(time.monotonic() - self._started, 3), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_json(self.folder / DONE, {"inputs": self.inputs, "provenance": dict(provenance), "run_log": log})


class Finished(NamedTuple):
    """What a finished stage left."""

    inputs: dict[str, Any]
    provenance: dict[str, Any]
    run_log: dict[str, Any]
    tables: dict[str, dict[str, Column]]


def finished(work: Path, name: str) -> Finished:
    """Return what the stage `name` left in the work folder.

    Raises:
        StageMissing: it has not finished.
    """
    folder = work / name
    if not (folder / DONE).is_file():
        raise StageMissing(
            f"'{work}' holds no finished {name}. Run `atlas {name}` (or `atlas build`) with this work folder first."
        )
    done = json.loads((folder / DONE).read_text(encoding="utf-8"))
    tables: dict[str, dict[str, Column]] = {}
    arrays = load_file(folder / "tables.safetensors")
    for key, values in arrays.items():
        table, column, *part = key.split(".")
        if not part:
            tables.setdefault(table, {})[column] = values
        elif part == ["values"]:
            tables.setdefault(table, {})[column] = Ragged(values, arrays[f"{table}.{column}.offsets"])
    for key, texts in json.loads((folder / "tables.json").read_text(encoding="utf-8")).items():
        table, column = key.split(".")
        tables.setdefault(table, {})[column] = texts
    return Finished(done["inputs"], done["provenance"], done["run_log"], tables)


def fingerprint(work: Path, name: str) -> dict[str, Any]:
    """Return the inputs of a finished stage, for a later stage to name among its own."""
    path = work / name / DONE
    if not path.is_file():
        raise StageMissing(
            f"'{work}' holds no finished {name}. Run `atlas {name}` (or `atlas build`) with this work folder first."
        )
    inputs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["inputs"]
    return inputs


def require_same_inputs(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise WorkOccupied, naming what differs, unless two sets of inputs are equal."""
    differ = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    if differ:
        raise WorkOccupied(
            f"'{folder}' was made from another {', '.join(differ)}. Name another work folder with --work, or delete this one."
        )


@contextmanager
def locked(work: Path, part: str = "all") -> Iterator[None]:
    """Hold the work folder, or one part of its work, so that no second run writes into it.

    Raises:
        WorkOccupied: another run holds it.
    """
    lock = FileLock(work / f".lock-{part}")
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkOccupied(f"Another run is using '{work}'. Wait for it, or name another work folder with --work.") from error
    except OSError as error:
        raise WorkOccupied(f"'{work}' cannot be a work folder: {error.strerror}. Name another one with --work.") from error
    try:
        yield
    finally:
        lock.release()


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of the named packages and of Atlas itself."""
    return {name: version(name) for name in ("expert-atlas", *packages)}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, whole or not at all."""
    part = _part(path)
    # safetensors writes a header that it cannot read where both tensors and metadata are empty.
    save_file(dict(arrays), part, metadata=dict(metadata) if metadata else None)
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    part = _part(path)
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _part(path: Path) -> Path:
    """Return where a file is written before it is whole: a place of this process' own, since two shards may end together."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")
