"""The log of a training: one JSON object per logged step, kept beside the weights it led to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from atlas.errors import CheckpointError
from atlas.stages import writing

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


def cut(folder: Path, step: int) -> None:
    """Take away what comes after a step: a training that goes on from there logs it anew."""
    path = folder / TRAINING_LOG_FILE
    if path.is_file():
        # The last line of a killed run may be half written; it is of a later step than any that was saved.
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text("".join(line for line in whole if json.loads(line)["step"] <= step), encoding="utf-8")
        os.replace(part, path)


def read_log(folder: Path) -> list[dict[str, float]]:
    """Return the logged steps in a checkpoint's folder, each with its `step` and its metrics; nothing where it has no log.

    Raises:
        CheckpointError: a line of it cannot be read.
    """
    path = folder / TRAINING_LOG_FILE
    if not path.is_file():
        return []
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            logged = json.loads(line)
            entries.append({"step": int(logged["step"])} | {name: float(value) for name, value in logged.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"Line {number} of '{path}' is not a logged step ({type(error).__name__}: {error}). Copy the checkpoint again, "
                "or delete the file."
            ) from error
    return entries
