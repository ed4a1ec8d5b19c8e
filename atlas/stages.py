"""The work folder: what each stage was made from, what it found, and whether it is whole.

A stage keeps its parts in `work/<stage>/`. Its tables are written first and `done.json` last, each renamed when whole, so a
stage is finished exactly if it has a `done.json`; skipping, resuming and assembling look nowhere else.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from atlas.errors import StageMissing, WorkOccupied
from atlas.files import sweep, writing
from atlas.sealed import read_arrays, read_json, write_arrays, write_json

DONE = "done.json"
ARRAYS, TEXTS = "tables.safetensors", "tables.json"
"""What a finished stage's tables are in; `done.json` has the hash of both."""

EVERYTHING = "all"
"""The part of the work that a run holds which no other may run beside."""

GATE_SECONDS = 5.0
"""How long a run that does one part waits for others to begin theirs."""

SHOWN_CHARACTERS = 60
"""Longest value that a message quotes."""

SHOWN_DIFFERENCES = 4
"""Most settings that a message names of one input."""


SAID = {"words": "set of labels, whose mentions it kept"}
"""What a message calls an input whose own name says little."""


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


def stacked(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    """Return the rows of several pieces of one table, one piece after the other."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(columns: list[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    first = columns[0]
    if isinstance(first, Ragged):
        pieces = [column for column in columns if isinstance(column, Ragged)]
        lengths = np.concatenate([np.diff(piece.offsets) for piece in pieces])
        return Ragged(np.concatenate([piece.values for piece in pieces]), np.concatenate([[0], np.cumsum(lengths)]))
    if isinstance(first, np.ndarray):
        return np.concatenate([np.asarray(column) for column in columns])
    return [value for column in columns for value in column]


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
            StageDamaged: its `done.json` cannot be read.
        """
        if not (self.folder / DONE).is_file():
            return False
        require_same_inputs(self.folder, _done(self.folder)["inputs"], self.inputs)
        return True

    def holds(self) -> bool:
        """Return whether the stage is finished for these very inputs; what it may hold of others is made again.

        Raises:
            StageDamaged: its `done.json` cannot be read.
        """
        return (self.folder / DONE).is_file() and _done(self.folder)["inputs"] == self.inputs

    def finish(self, tables: Tables, provenance: Mapping[str, Any]) -> None:
        """Write the stage's tables, then its `done.json` with what it was made from and what it found."""
        # A `done.json` of other inputs must not stand beside tables of these, wherever this stops.
        with writing(self.folder / DONE):
            (self.folder / DONE).unlink(missing_ok=True)
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
        seals = {ARRAYS: write_arrays(self.folder / ARRAYS, arrays), TEXTS: write_json(self.folder / TEXTS, texts)}
        log = {"seconds": round(time.monotonic() - self._started, 3), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        done = {"inputs": self.inputs, "provenance": dict(provenance), "run_log": log, "tables": seals}
        write_json(self.folder / DONE, done)


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
        StageDamaged: a file that it wrote cannot be read.
    """
    folder = work / name
    done = _finished_done(work, name)
    tables: dict[str, dict[str, Column]] = {}
    arrays = read_arrays(folder / ARRAYS, seal=done["tables"][ARRAYS])
    for key, values in arrays.items():
        table, column, *part = key.split(".")
        if not part:
            tables.setdefault(table, {})[column] = values
        elif part == ["values"]:
            tables.setdefault(table, {})[column] = Ragged(values, arrays[f"{table}.{column}.offsets"])
    for key, texts in read_json(folder / TEXTS, seal=done["tables"][TEXTS]).items():
        table, column = key.split(".")
        tables.setdefault(table, {})[column] = texts
    return Finished(done["inputs"], done["provenance"], done["run_log"], tables)


def is_finished(work: Path, name: str) -> bool:
    """Return whether a stage has finished, for whatever inputs."""
    return (work / name / DONE).is_file()


def fingerprint(work: Path, name: str) -> dict[str, Any]:
    """Return the inputs of a finished stage, for a later stage to name among its own.

    Raises:
        StageMissing: it has not finished.
        StageDamaged: its `done.json` cannot be read.
    """
    inputs: dict[str, Any] = _finished_done(work, name)["inputs"]
    return inputs


def _finished_done(work: Path, name: str) -> dict[str, Any]:
    if not is_finished(work, name):
        raise StageMissing(
            f"'{work}' holds no finished {name}. Run `atlas {name}` (or `atlas build`) with this work folder first."
        )
    return _done(work / name)


def _done(folder: Path) -> dict[str, Any]:
    """Return what a stage's `done.json` says."""
    return read_json(folder / DONE)


def require_same_inputs(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise WorkOccupied, naming what differs with both values where they are short, unless two sets of inputs are equal."""
    differ = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    if differ:
        named = ", ".join(SAID.get(key, key) + _both(found.get(key), wanted.get(key)) for key in differ)
        mend = "Name another work folder with --work, or delete this one."
        if differ == ["words"]:
            mend = "Leave natural_mentions out of a task of your own, name another work folder with --work, or delete this one."
        if differ == ["device"] and (threads := _threads(found["device"], wanted["device"])):
            mend = f"Set OMP_NUM_THREADS={threads} to go on with it, name another work folder with --work, or delete this one."
        raise WorkOccupied(f"'{folder}' was made from another {named}. {mend}")


def _threads(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> int | None:
    """Return how many threads a run had, where nothing but that is different; sums in another order give other bits."""
    return found["threads"] if {**found, "threads": wanted.get("threads")} == wanted and "threads" in found else None


def _both(found: Any, wanted: Any) -> str:
    """Return, in brackets, how two values of one input differ, or nothing where that is too long to read."""
    if found is None or wanted is None:
        return ""
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        shown = _pair(found, wanted)
        return f" ({shown})" if shown else ""
    for name in ("name", "id"):
        names = found.get(name), wanted.get(name)
        if None not in names and names[0] != names[1] and (shown := _pair(*names)):
            return f" ({shown})"
    leaves = _leaves(found), _leaves(wanted)
    keys = [key for key in sorted({*leaves[0], *leaves[1]}) if leaves[0].get(key) != leaves[1].get(key)]
    said = []
    for key in keys[:SHOWN_DIFFERENCES]:
        shown = _pair(leaves[0].get(key), leaves[1].get(key))
        said.append(f"{key}: {shown}" if shown else key)
    return f" ({'; '.join(said + ['and more'] * (len(keys) > SHOWN_DIFFERENCES))})"


def _pair(found: Any, wanted: Any) -> str | None:
    """Return two values side by side; None where one is a hash or too long."""
    shown = [repr(value) for value in (found, wanted)]
    if any(len(text) > SHOWN_CHARACTERS or re.fullmatch("'[0-9a-f]{40,}'", text) for text in shown):
        return None
    return f"{shown[0]}, now {shown[1]}"


def _leaves(inputs: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested inputs as one mapping from dotted key to value."""
    flat: dict[str, Any] = {}
    for key, value in inputs.items():
        flat.update(_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


@contextmanager
def locked(work: Path, part: str = EVERYTHING) -> Iterator[None]:
    """Hold the work folder, or one part of its work, so that no second run writes into it.

    Parts run side by side, but none beside a run that holds everything. A run that fails takes the lock file and the folders
    away again that were made for it and hold nothing else.

    Raises:
        WorkOccupied: another run holds it, it cannot be written to, or no database can be written in it.
    """
    if "?" in str(work):
        raise WorkOccupied(f"The work folder is '{work}'; DuckDB writes no file whose path holds a '?'. Give another --work.")
    missing = [folder for folder in (work, *work.parents) if not folder.exists()]
    gate = FileLock(work / f".lock-{EVERYTHING}")
    lock = gate if part == EVERYTHING else FileLock(work / f".lock-{part}")
    made = [Path(each.lock_file) for each in (lock, gate) if not Path(each.lock_file).exists()]
    with ExitStack() as held:
        try:
            work.mkdir(parents=True, exist_ok=True)
            if part == EVERYTHING:
                _take(held, lock, work)
                _require_no_part(work)
                sweep(work.rglob(".*"))
            else:
                with ExitStack() as passing:
                    _take(passing, gate, work, GATE_SECONDS)
                    _take(held, lock, work)
        except OSError as error:
            _clear([], missing)
            reason = error.strerror or error
            raise WorkOccupied(f"'{work}' cannot be a work folder: {reason}. Name another one with --work.") from error
        try:
            yield
        except BaseException:
            # Files go while their locks are held: who waits for one sees that its file is gone, and makes another.
            with suppress(WorkOccupied):
                _take(held, gate, work, GATE_SECONDS)
                _clear(made, missing)
            raise


def _take(held: ExitStack, lock: FileLock, work: Path, seconds: float = 0.0) -> None:
    try:
        held.enter_context(lock.acquire(timeout=seconds))
    except Timeout as error:
        raise WorkOccupied(f"Another run is using '{work}'. Wait for it, or name another work folder with --work.") from error


def _require_no_part(work: Path) -> None:
    """Raise WorkOccupied if a run holds a part of the work. None begins one while everything is held: that is the gate."""
    for path in sorted(work.glob(".lock-*")):
        if path.name != f".lock-{EVERYTHING}":
            with ExitStack() as free:
                _take(free, FileLock(path), work)


def _clear(files: Iterable[Path], folders: Iterable[Path]) -> None:
    """Delete files, and folders from the innermost outwards that hold nothing."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Atlas, of Python and of the named packages, as installed."""
    return {"expert-atlas": version("expert-atlas"), "python": python_version(), **{name: version(name) for name in packages}}
