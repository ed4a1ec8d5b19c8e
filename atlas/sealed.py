"""Files of the work folder: whole or not at all, and each with a hash of what it says, so that no damage passes for data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from atlas.errors import StageDamaged
from atlas.files import make_folder, replacing

SEAL = "sha256"
"""The key that a file has its hash under: of JSON beside the others, of arrays in the metadata."""


@contextmanager
def readable(path: Path, mend: str | None = None) -> Iterator[None]:
    """Name the file, and what to do about it, where a file that a stage wrote turns out damaged.

    Without `mend` that is to delete the folder it is in, and run the stage again.

    Raises:
        StageDamaged: the file cannot be read, is missing, or is not what was written.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        reason = "it is missing" if isinstance(error, FileNotFoundError) else said.splitlines()[0]
        mend = mend or f"Delete the folder '{path.parent}' to run the stage again."
        raise StageDamaged(f"'{path}' is damaged ({reason}). {mend}") from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> str:
    """Write named arrays, and texts about them, as safetensors, and return their hash; folders that are missing are made.

    Raises:
        StorageError: the file cannot be written; what was there is as it was.
    """
    given = dict(metadata or {})
    make_folder(path.parent)
    seal = _hash_of_arrays(path, arrays, given)
    with replacing(path) as part:
        save_file(dict(arrays), part, metadata={**given, SEAL: seal})
    return seal


def read_arrays(path: Path, mend: str | None = None, seal: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays that `write_arrays` wrote; with `seal`, if they are those of this hash.

    Raises:
        StageDamaged: they cannot be read, or are not what was written.
    """
    with readable(path, mend), safe_open(path, "numpy") as file:
        arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        metadata = file.metadata() or {}
        _require(metadata.pop(SEAL, None), _hash_of_arrays(path, arrays, metadata), seal)
        return arrays


def read_about(path: Path, mend: str | None = None) -> dict[str, str]:
    """Return what was written about the arrays of a file, without reading them; whether it is whole, `read_arrays` finds.

    Raises:
        StageDamaged: it cannot be read.
    """
    with readable(path, mend), safe_open(path, "numpy") as file:
        return dict(file.metadata() or {})


def write_json(path: Path, value: Mapping[str, Any]) -> str:
    """Write a JSON object, and return its hash; folders that are missing are made.

    Raises:
        StorageError: the file cannot be written; what was there is as it was.
    """
    make_folder(path.parent)
    seal = _hash_of_json(path, value)
    with replacing(path) as part:
        part.write_text(json.dumps({**value, SEAL: seal}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return seal


def read_json(path: Path, mend: str | None = None, seal: str | None = None) -> dict[str, Any]:
    """Return the object that `write_json` wrote; with `seal`, if it is that of this hash.

    Raises:
        StageDamaged: it cannot be read, or is not what was written.
    """
    with readable(path, mend):
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not what a stage writes")
        _require(value.pop(SEAL, None), _hash_of_json(path, value), seal)
        return value


def _require(found: Any, computed: str, seal: str | None) -> None:
    if found is None:
        raise ValueError("it has no hash of its content")
    if found != computed:
        raise ValueError("its content is not what was written")
    if seal not in (None, found):
        raise ValueError("it is not the one that the stage finished with")


def _hash_of_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Return a hash of arrays under their names, and of the file's name, so that no file can take another's place."""
    digest = sha256(json.dumps([path.name, dict(sorted(metadata.items()))]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _hash_of_json(path: Path, value: Mapping[str, Any]) -> str:
    return sha256(json.dumps([path.name, value]).encode()).hexdigest()
