"""What users' tasks are made from: a table, what a TOML file says of it, and a matrix of rows."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from atlas.checkpoints import is_pickled
from atlas.errors import TaskError
from atlas.probe.tasks.sentences import BUILTIN, BUILTIN_TASKS
from atlas.probe.tasks.stated import Stated, listed, read_toml
from atlas.probe.tasks.table import Table, hub_table, is_hub_id, is_table, is_toml, kinds, read_table, table_stem

DEFINITIONS = (*BUILTIN_TASKS, "emotions")
"""What `definition` may name: labels with their order, colours and hypotheses, for sentences that the user brings."""


_QUOTED_PATH = re.compile(
    r"'(?:[^']*[/\\](?P<file>[^'/\\]+\.(?:csv|tsv|parquet|jsonl?|toml|npy|safetensors)(?:\.gz|\.zst)?)"
    r"|(?:~|\.{0,2}|[a-z]:)[/\\](?:[^']*[/\\])?(?P<name>[^'/\\]+))'",
    re.IGNORECASE,
)
"""A path as messages have it: of a file that a task may be made from, or one that cannot be a hub id."""


class Source(NamedTuple):
    """What a user's task is made from."""

    stem: str
    whose: str
    """As messages name the task."""
    raw: dict[str, Any]
    """What a TOML file says of it; empty where there is none."""
    table: Table
    matrix: Float32[np.ndarray, "row d_in"] | None
    files: tuple[Path, ...]
    """All that it was read from; none of the hub's."""


def read_source(source: str) -> Source:
    """Return what a user's task is made from, with the TOML file that describes it.

    Raises:
        TaskError: it is not there, or cannot be read.
    """
    path = Path(source)
    if is_toml(path):
        return _described(_with_data(read_toml(path), path), path)
    beside = toml_beside(source)
    if not (is_table(path) and path.is_file() and beside.is_file()):
        return bare_source(source)
    raw = read_toml(beside)
    if "matrix" not in raw:
        named = raw.setdefault("data", path.name)
        if isinstance(named, str) and (beside.parent / named).resolve() != path.resolve():
            raise TaskError(f"'{beside}' describes '{named}', not '{path}'; rename one of them.")
    return _described(raw, beside)


def bare_source(source: str) -> Source:
    """Return a table, or a data set of the hub, without what a TOML file says of it.

    Raises:
        TaskError: it is not there, or cannot be read.
    """
    path = Path(source)
    if path.is_file() and is_table(path):
        return Source(table_stem(path), f"the task in '{path}'", {}, read_table(path), None, (path,))
    if is_hub_id(source):
        return Source(_hub_stem(source), f"the task of the data set '{source}'", {}, hub_table(source), None, ())
    raise TaskError(f"No table at '{source}'. Give {kinds()}, a .toml that describes one, or a data set's hub id.")


def source_files(source: str) -> tuple[Path, ...]:
    """Return the files that a user's task may be read from, whether or not it can be used; none of the hub's."""
    path = Path(source)
    if not path.is_file():
        return ()
    described = path if is_toml(path) else toml_beside(source)
    named: list[str] = []
    with suppress(TaskError):
        raw = _with_data(read_toml(described), described) if described.is_file() else {}
        named = [raw[key] for key in ("data", "matrix", "metadata") if isinstance(raw.get(key), str)]
    found = (path, described, *(path.parent / name for name in named))
    return tuple(dict.fromkeys(one for one in found if one.is_file() and os.access(one, os.R_OK)))


def without_folder(source: str) -> str:
    """Return what a user's task is named by where others read it: a file without its folder, or a hub id."""
    return source if is_hub_id(source) else Path(source).name or source


def without_folders(message: str, source: str) -> str:
    """Return a message with the files that it names, and the task's source, without their folders."""
    folder = str(Path(source).parent)
    if folder != ".":
        message = message.replace(f"{folder}{os.sep}", "")
    return _QUOTED_PATH.sub(lambda found: f"'{found['file'] or found['name']}'", message)


def toml_beside(source: str) -> Path:
    """Return the TOML file that describes a table, beside it; of a data set's hub id in the working folder."""
    path = Path(source)
    return path.with_name(f"{table_stem(path)}.toml") if is_table(path) else Path(f"{_hub_stem(source)}.toml")


def _hub_stem(source: str) -> str:
    """Return the name of a data set without its owner, configuration and split."""
    return re.split("[/:]", source)[1] if "/" in source else source


def _with_data(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what a TOML file states, with the table of its name that lies beside it as its data, unless it names another."""
    if "data" in raw or "matrix" in raw:
        return raw
    beside = sorted(other.name for other in path.parent.iterdir() if is_table(other) and table_stem(other) == path.stem)
    if len(beside) > 1:
        raise TaskError(f"'{path}' lacks the key 'data', and beside it lie {listed(beside)}; name one of them.")
    return raw | {"data": beside[0]} if beside else raw


def _described(raw: dict[str, Any], path: Path) -> Source:
    """Return what a TOML file describes."""
    stem, whose = path.stem, f"the task in '{path}'"
    stated = Stated(raw, f"T{whose[1:]}")
    if stated.has("matrix"):
        rows, numbers = path.parent / stated.text("metadata"), path.parent / stated.text("matrix")
        table, matrix = read_table(rows), _matrix(numbers, stated)
        if len(matrix) != table.n_rows:
            raise TaskError(
                f"{stated.who} has {len(matrix):,} rows in the matrix and {table.n_rows:,} in {table.name}; give one for each."
            )
        return Source(stem, whose, raw, table, matrix, (path, rows, numbers))
    if not stated.has("data"):
        raise TaskError(f"{stated.who} lacks the key 'data' (or 'matrix', or 'templates'); name the table of its rows.")
    named = stated.text("data")
    if (path.parent / named).is_file() and is_table(Path(named)):
        return Source(stem, whose, raw, read_table(path.parent / named), None, (path, path.parent / named))
    if is_hub_id(named):
        return Source(stem, whose, raw, hub_table(named), None, (path,))
    raise TaskError(
        f"{stated.who} names the data '{named}', which is no table; give {kinds()} beside it, or a data set's hub id."
    )


def _matrix(path: Path, stated: Stated) -> Float32[np.ndarray, "row d_in"]:
    """Return the rows of a .npy or .safetensors file.

    Raises:
        TaskError: they cannot be read, are no matrix of numbers, or hold one that is not finite.
    """
    if not path.is_file():
        raise TaskError(f"{stated.who} names the matrix '{path.name}', which is not there; give a .npy or .safetensors file.")
    if path.suffix not in (".npy", ".safetensors"):
        raise TaskError(f"{stated.who} has the matrix '{path.name}'; a matrix is a .npy or a .safetensors file.")
    if is_pickled(path):
        raise TaskError(f"'{path}' is a pickle, or an archive of them, which Atlas never reads; save the rows as .safetensors.")
    stored = _array(path) if path.suffix == ".npy" else _tensor(path, stated)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise TaskError(f"'{path}' holds {stored.dtype} of shape {list(stored.shape)}; a matrix is numbers, (row, d_in).")
    with np.errstate(over="ignore"):
        rows = stored.astype(np.float32)
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        row = int(np.argmin(finite)) + 1
        raise TaskError(f"'{path}' holds a number in row {row} that is not finite as float32; mend it, or leave out the row.")
    return rows


def _array(path: Path) -> NDArray[Any]:
    try:
        # Mapped, so that a header that promises more than there is takes no memory.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises whatever it stumbles on in a header, which it reads as Python's literals
        raise TaskError(f"'{path}' cannot be read as .npy: {_reason(error)}") from error


def _tensor(path: Path, stated: Stated) -> NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = tuple(sorted(file.keys()))
            if not stated.has("tensor") and len(names) != 1:
                raise TaskError(f"'{path}' holds {listed(names) or 'no tensor'}; name one by the key tensor.")
            name = stated.text("tensor", names[0])
            if name not in names:
                raise TaskError(f"'{path}' has no tensor {name!r}; it has {listed(names)}.")
            tensor = file.get_tensor(name)
            # numpy has no bfloat16.
            return tensor.numpy() if tensor.is_complex() else tensor.float().numpy()
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:  # the last two of sizes and kinds that numpy has not
        raise TaskError(f"'{path}' cannot be read as .safetensors: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return an error in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def with_definition(source: Source) -> dict[str, Any]:
    """Return what is stated of a task, with what a definition that comes with Atlas says of its labels.

    Raises:
        TaskError: Atlas has no such definition, or the task has labels of its own.
    """
    if "definition" not in source.raw:
        return dict(source.raw)
    stated = Stated(source.raw, f"T{source.whose[1:]}")
    named = stated.text("definition")
    if named not in DEFINITIONS:
        raise TaskError(f"{stated.who} has the definition {named!r}; Atlas has {listed(DEFINITIONS)}.")
    if fixed := [key for key in ("labels", "values") if key in source.raw]:
        raise TaskError(f"{stated.who} has {fixed[0]} and a definition, which has its own; leave one of them out.")
    taken = ("title", "family", "description", "cyclic", "labels", "values", "colours", "hypotheses", "needs")
    definition = read_toml(BUILTIN / f"{named}.toml")
    return {key: definition[key] for key in taken if key in definition} | source.raw
