"""Checkpoints of a training under way: what SAELens writes of one, and beside it what is needed to go on to the same bits.

They are safetensors and JSON, in a folder for each, that appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from atlas.checkpoints import WEIGHTS_FILE
from atlas.dictionary.as_written import changed, seal
from atlas.dictionary.checkpoint import save_unfolded
from atlas.dictionary.smixae import Weights
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.dictionary.training import Training, TrainingConfig
from atlas.dictionary.training_log import logged_sha256
from atlas.files import share, writing
from atlas.sealed import read_arrays, read_json, readable, write_arrays, write_json

RESUME_FILE = "resume.json"
OPTIMISER_FILE = "optimiser.safetensors"
USED_UP_FILE = "used_up.safetensors"
IN_WEIGHTS = (*Weights._fields, "threshold", "n_passes_since_fired")
"""Tensors of a training's state that the weights file holds already."""


class Seen(NamedTuple):
    """What text rows were read from."""

    vocabulary: NDArray[np.int64]
    """Occurrences of each token id."""
    documents: NDArray[np.uint64]
    """Hashes of documents, in order."""

    def with_more(self, vocabulary: Tensor, documents: frozenset[int]) -> Seen:
        """Return what was seen with more of it; a document counts once."""
        more = np.fromiter(sorted(documents), dtype=np.uint64, count=len(documents))
        return Seen(self.vocabulary + vocabulary.cpu().numpy(), np.union1d(self.documents, more))

    def write(self, folder: Path) -> None:
        """Write it beside the weights that come of it."""
        write_arrays(folder / TRAINED_ON_FILE, {"counts": self.vocabulary, "documents": self.documents})


class Place(NamedTuple):
    """Where a training is in its text."""

    pool: int = 0
    """Pools that were used up."""
    epoch: int = 0
    """Times that the corpus was."""
    first_chunk: int = 0
    """Where the pool in use begins."""
    batches: int = 0
    """Taken from it."""
    sha256: str | None = None
    """Of its text; None where it has not been read."""
    carriers: int = 0
    """Rows of carrier sentences in the pools that were used up, each counted once."""


class Resumed(NamedTuple):
    """A training as it was saved."""

    training: Training
    place: Place
    seen: Seen
    """Of the pools that were used up."""
    log_sha256: str | None
    """Of its log so far; None where nothing was logged."""


def save_training(
    root: Path,
    training: Training,
    place: Place,
    used_up: Seen,
    seen: Seen,
    inputs: Mapping[str, Any],
    metadata: dict[str, Any],
) -> Path:
    """Write a checkpoint into a folder of its own under `root`, in place of the one before, and return it.

    `used_up` is the text of the pools that were, `seen` that of the pool in use too.

    Raises:
        StorageError: it cannot be written; the one before is as it was.
    """
    folder = root / f"step-{training.steps:08d}-pool-{place.pool:06d}"
    if folder.is_dir():
        return folder
    part = root / f".{folder.name}.{os.getpid()}.part"
    with writing(folder):
        part.mkdir(parents=True)
        try:
            save_unfolded(training.smixae(), part, training.counters.idle, _described(training.config), metadata)
            state = {name: tensor for name, tensor in training.state().items() if name not in IN_WEIGHTS}
            save_file({name: tensor.contiguous().cpu() for name, tensor in state.items()}, part / OPTIMISER_FILE)
            share(part / OPTIMISER_FILE)
            write_arrays(part / USED_UP_FILE, used_up._asdict())
            seen.write(part)
            seal(part, OPTIMISER_FILE)
            about = {"inputs": dict(inputs), "steps": training.steps, "scale": training.scale, "place": place._asdict()}
            write_json(part / RESUME_FILE, {**about, "log": logged_sha256(root)})
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    for other in saved(root)[:-1]:
        shutil.rmtree(other)
    return folder


def _described(config: TrainingConfig) -> dict[str, Any]:
    """Return the keys that a training checkpoint's configuration has in SAELens."""
    return {
        "k_experts": config.k,
        "aux_loss_coefficient": config.aux_coefficient,
        "threshold_lr": config.threshold_rate,
        "dead_after_n_passes": config.dead_after,
        "decoder_init_norm": config.decoder_init_norm,
    }


def sweep_checkpoints(root: Path) -> None:
    """Delete what killed runs left half written."""
    for part in root.glob(".step-*.part"):
        shutil.rmtree(part)


def saved(root: Path) -> list[Path]:
    """Return the checkpoints under `root`, the latest last."""
    return sorted(path.parent for path in root.glob(f"step-*/{RESUME_FILE}"))


def inputs_of(checkpoint: Path) -> dict[str, Any]:
    """Return the inputs of the training that a checkpoint is of.

    Raises:
        StageDamaged: it cannot be read.
    """
    return dict(_about(checkpoint)["inputs"])


def steps_of(checkpoint: Path) -> int:
    """Return how many steps the training had taken.

    Raises:
        StageDamaged: it cannot be read.
    """
    return int(_about(checkpoint)["steps"])


def _about(checkpoint: Path) -> dict[str, Any]:
    about = read_json(checkpoint / RESUME_FILE)
    with readable(checkpoint / RESUME_FILE):
        return {key: about[key] for key in ("inputs", "steps", "scale", "place", "log")}


def resume(checkpoint: Path, config: TrainingConfig, device: torch.device | str) -> Resumed:
    """Return the training that a checkpoint was saved of.

    Raises:
        StageDamaged: it cannot be read.
    """
    about = _about(checkpoint)
    if path := changed(checkpoint):
        with readable(path):
            raise ValueError("its content is not what was written")
    state: dict[str, Tensor] = {}
    for name in (WEIGHTS_FILE, OPTIMISER_FILE):
        with readable(checkpoint / name):
            state |= load_file(checkpoint / name)
    with readable(checkpoint / USED_UP_FILE):
        used_up = Seen(**read_arrays(checkpoint / USED_UP_FILE))
    with readable(checkpoint / RESUME_FILE):
        training = Training.restored(config, state, float(about["scale"]), int(about["steps"]), device)
        return Resumed(training, Place(**about["place"]), used_up, about["log"])
