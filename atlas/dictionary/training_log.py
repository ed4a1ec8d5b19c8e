"""The log of a training: one JSON object per logged step, kept beside the weights it led to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from atlas.errors import CheckpointError
from atlas.files import replacing, writing
from atlas.sealed import readable

TRAINING_LOG_FILE = "training_log.jsonl"


def append(folder: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Add a step to the log in a folder.

    Raises:
        StorageError: it cannot be written.
    """
    with writing(folder / TRAINING_LOG_FILE):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TRAINING_LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")


def logged_sha256(folder: Path) -> str | None:
    """Return the hash of the log in a folder; None where it has none."""
    path = folder / TRAINING_LOG_FILE
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def cut(folder: Path, step: int, sha256: str | None = None) -> None:
    """Take away what comes after a step: a training that goes on from there logs it anew.

    `sha256` is the hash that the log had at this step.

    Raises:
        StorageError: the shorter log cannot be written; the longer one is as it was.
        StageDamaged: a line of it cannot be read, or it is not what was logged.
    """
    path = folder / TRAINING_LOG_FILE
    if sha256 is None and not path.is_file():
        return
    with readable(path):
        # The last line of a killed run may be half written; it is of a later step than any that was saved.
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        kept = "".join(line for line in whole if int(json.loads(line)["step"]) <= step)
        if sha256 not in (None, hashlib.sha256(kept.encode()).hexdigest()):
            raise ValueError("its content is not what was written")
    with replacing(path) as part:
        part.write_text(kept, encoding="utf-8")


def read_log(folder: Path) -> list[dict[str, float]]:
    """Return the logged steps in a checkpoint's folder, each with its `step` and its metrics; nothing where it has no log.

    Raises:
        CheckpointError: a line of it cannot be read.
    """
    path = folder / TRAINING_LOG_FILE
    if not path.is_file():
        return []
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            logged = json.loads(line)
            entries.append({"step": int(logged["step"])} | {name: float(value) for name, value in logged.items()})
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise CheckpointError(
                f"Line {number} of '{path}' is not a logged step ({type(error).__name__}: {error}). Copy the checkpoint again, "
                "or delete the file."
            ) from error
    return entries
