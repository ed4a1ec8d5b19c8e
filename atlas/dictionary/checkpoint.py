"""The SAELens layout on disk: `cfg.json` and `sae_weights.safetensors`."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atlas.checkpoints import (
    ARCHITECTURES,
    CONFIG_FILE,
    SCALER_FILE,
    SUMS_FILE,
    WEIGHTS_FILE,
    WIDEST,
    find,
    json_object,
    sha256,
    shapes,
)
from atlas.dictionary.as_written import require_as_written
from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.normalisation import KINDS, Normalisation
from atlas.dictionary.smixae import Smixae, Weights
from atlas.dictionary.trained_on import TrainedOn, trained_on
from atlas.errors import CheckpointError
from atlas.files import share, writing
from atlas.origins import shown_name

MODEL_FOLDER_FILE = "model_folder.txt"
"""Where on this machine the model lies, if it is a local folder: what a checkpoint itself says holds on every machine."""

LAYOUT = "6.39.0"
"""The release of SAELens whose layout is written; of a file that names none, it reads no metadata."""


@dataclass(frozen=True)
class Checkpoint:
    """A dictionary with what its checkpoint says of its origin."""

    smixae: Smixae
    path: Path
    """The folder that it was read from: of a checkpoint on the hub, in the hub's cache."""
    sha256: str
    """Of the weights file and the configuration."""
    architecture: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """The checkpoint's own metadata; every key is optional."""
    trained_on: TrainedOn | None = None
    """The text it was trained on, where it says so."""
    source: str = ""
    """What it was asked for as: a local folder, or `owner/repo[/subfolder][@revision]`."""
    revision: str | None = None
    """The hub's commit; None of a local folder."""

    @classmethod
    def load(cls, source: str | Path) -> Checkpoint:
        """Return a checkpoint with float32 weights on the CPU.

        `source` is a folder, a training run's folder (its `model/`), or `owner/repo[/subfolder][@revision]` on the
        Hugging Face hub. A Path is always local; so is a text that names something local.

        Raises:
            CheckpointError: the folder, a file, a key or a tensor is missing or not what a SMIXAE has, with its name.
        """
        try:
            found = find(source)
            return _load(found.folder, found.source, found.revision)
        except OSError as error:
            name = error.filename or source
            raise CheckpointError(f"'{name}' cannot be read: {error.strerror or error}. Give another checkpoint.") from error

    def to(self, device: torch.device) -> Checkpoint:
        """Return the same checkpoint with its weights on `device`."""
        return replace(self, smixae=self.smixae.to(device))


def load(source: str | Path) -> Smixae:
    """Return the SMIXAE of a checkpoint, a folder or `owner/repo[/subfolder][@revision]`, with float32 weights on the CPU.

    Raises:
        CheckpointError: the folder, a file, a key or a tensor is missing or not what a SMIXAE has, with its name.
    """
    return Checkpoint.load(source).smixae


def _load(folder: Path, source: str, revision: str | None) -> Checkpoint:
    require_as_written(folder)
    stored = json_object(folder / CONFIG_FILE)
    config = _config(stored, folder)
    normalisation = _normalisation(stored, folder)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except SafetensorError as error:
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' is not a whole safetensors file: {error}.") from error
    wanted = shapes(config.d_in, config.n_experts, config.d_expert, config.d_code)
    weights = Weights(*(_tensor(tensors, name, shape, folder) for name, shape in wanted.items()))
    smixae = Smixae(config, weights, _threshold(tensors, folder), normalisation)
    if not (torch.isfinite(smixae.decoder_norm).all() and torch.isfinite(smixae.bias).all()):
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' has decoders beyond the range of float32; is its scale right?")
    return Checkpoint(
        smixae=smixae,
        path=folder,
        sha256=sha256(folder),
        architecture=stored["architecture"],
        metadata=_with_model_folder(_metadata(stored, folder), folder),
        trained_on=trained_on(folder),
        source=source,
        revision=revision,
    )


def save(smixae: Smixae, path: str | Path, metadata: dict[str, Any]) -> None:
    """Write a SMIXAE as an inference checkpoint that SAELens reads too; files appear whole or not at all.

    An unfolded dictionary is written folded, since an inference checkpoint has no place for its factor.

    Raises:
        StorageError: the folder cannot be written to, or its disk is full; what was in it is as it was.
    """
    smixae, folder = smixae.folded(), Path(path)
    files = _files(smixae, torch.zeros(smixae.n_experts, dtype=torch.int64), metadata)
    _write(folder, files)
    # Of a checkpoint that was there before, unfolded, trained here or of a model elsewhere; they say nothing of this one.
    for name in {SCALER_FILE, MODEL_FOLDER_FILE, SUMS_FILE} - files.keys():
        (folder / name).unlink(missing_ok=True)


def save_unfolded(
    smixae: Smixae, path: str | Path, idle: Int64[Tensor, "expert"], training: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Write a SMIXAE that is under training as SAELens does: weights on the scale of training, the factor of rows beside them.

    `idle` are the steps since each expert was last kept, `training` the keys that the configuration has of the training.

    Raises:
        StorageError: the folder cannot be written to, or its disk is full; what was in it is as it was.
    """
    scaler = json.dumps({"scaling_factor": smixae.normalisation.factor}) + "\n"
    files = _files(smixae, idle, metadata, **training)
    _write(Path(path), {**files, SCALER_FILE: lambda part: part.write_text(scaler, encoding="utf-8")})


def _files(
    smixae: Smixae, idle: Int64[Tensor, "expert"], metadata: dict[str, Any], **more: Any
) -> dict[str, Callable[[Path], object]]:
    """Return what to write into which file: weights as they are, and a configuration with `more` keys."""
    config = smixae.config
    model = str(metadata.get("model_name", ""))
    known = {**metadata, "model_name": shown_name(model)} if model else metadata
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in smixae.weights._asdict().items()}
    tensors["threshold"] = torch.tensor(smixae.threshold, dtype=torch.float64)
    tensors["n_passes_since_fired"] = idle.cpu()
    stored = {
        "architecture": "smixae",
        "d_in": config.d_in,
        "d_sae": config.d_hidden,
        "n_experts": config.n_experts,
        "d_expert": config.d_expert,
        "d_bottleneck": config.d_code,
        "rescale_acts_by_decoder_norm": config.rescale_by_decoder_norm,
        "apply_b_dec_to_input": False,
        "normalize_activations": smixae.normalisation.kind,
        "reshape_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        **more,
        "metadata": {"sae_lens_version": LAYOUT, **known},
    }
    text = json.dumps(stored, indent=2) + "\n"
    files: dict[str, Callable[[Path], object]] = {
        WEIGHTS_FILE: lambda part: save_file(tensors, part),
        CONFIG_FILE: lambda part: part.write_text(text, encoding="utf-8"),
    }
    if os.path.isdir(model):
        files[MODEL_FOLDER_FILE] = lambda part: part.write_bytes(os.fsencode(os.path.abspath(model)))
    return files


def _write(folder: Path, files: dict[str, Callable[[Path], object]]) -> None:
    """Write files that belong together: all are whole before the first takes the place of an older one.

    What a killed process leaves is named as the stages name theirs, and swept with it.
    """
    parts = {folder / name: folder / f".{name}.{os.getpid()}.part" for name in files}
    with writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for part, write in zip(parts.values(), files.values(), strict=True):
                write(part)
            for path, part in parts.items():
                share(part)
                os.replace(part, path)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)


def _config(stored: dict[str, Any], folder: Path) -> SmixaeConfig:
    if stored.get("architecture") not in ARCHITECTURES:
        raise CheckpointError(
            f"'{folder}' holds the architecture {stored.get('architecture')!r}; Atlas maps {' and '.join(ARCHITECTURES)}."
        )
    widths = {key: stored.get(key) for key in ("d_in", "n_experts", "d_expert", "d_bottleneck")}
    wrong = [f"{key} = {value!r:.40}" for key, value in widths.items() if type(value) is not int or not 1 <= value <= WIDEST]
    if wrong:
        raise CheckpointError(f"{CONFIG_FILE} in '{folder}' needs a whole number from 1 to {WIDEST} for {', '.join(wrong)}.")
    rescaled = stored.get("rescale_acts_by_decoder_norm", True)
    if not isinstance(rescaled, bool):
        raise CheckpointError(f"{CONFIG_FILE} in '{folder}' needs true or false for rescale_acts_by_decoder_norm = {rescaled!r}.")
    if stored.get("apply_b_dec_to_input"):
        raise CheckpointError(f"'{folder}' subtracts b_dec from its input (apply_b_dec_to_input); a SMIXAE never does.")
    reshaping = stored.get("reshape_activations", "none")
    if reshaping != "none":
        raise CheckpointError(f"'{folder}' reshapes activations ({reshaping!r}); only 'none' can be mapped.")
    config = SmixaeConfig(
        d_in=stored["d_in"],
        n_experts=stored["n_experts"],
        d_expert=stored["d_expert"],
        d_code=stored["d_bottleneck"],
        rescale_by_decoder_norm=rescaled,
    )
    if stored.get("d_sae", config.d_hidden) != config.d_hidden:
        raise CheckpointError(
            f"{CONFIG_FILE} in '{folder}' has d_sae {stored['d_sae']!r:.40}, "
            f"but n_experts · d_expert is {config.n_experts} · {config.d_expert} = {config.d_hidden}."
        )
    return config


def _normalisation(stored: dict[str, Any], folder: Path) -> Normalisation:
    """Return what is done to rows; the factor of an unfolded checkpoint is in a file of its own."""
    kind = stored.get("normalize_activations", "none")
    if kind not in KINDS:
        raise CheckpointError(f"'{folder}' expects activations normalised by {kind!r}; Atlas knows {', '.join(KINDS)}.")
    if kind != "expected_average_only_in":
        return Normalisation(kind)
    path = folder / SCALER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"'{folder}' is not folded ({kind!r}) and has no {SCALER_FILE} with the factor of its rows. Copy that file from the "
            "training run beside it, or take the run's last checkpoint."
        )
    factor = json_object(path).get("scaling_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor <= sys.float_info.max:
        raise CheckpointError(f"'{path}' has scaling_factor = {factor!r}; a positive number is needed.")
    return Normalisation(kind, float(factor))


def _metadata(stored: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the checkpoint says of its origin; what is there has to be usable."""
    metadata = stored.get("metadata") or {}
    kinds: dict[str, type] = {
        "model_name": str,
        "hook_name": str,
        "model_class_name": str,
        "context_size": int,
        "atlas_training": dict,
    }
    if not isinstance(metadata, dict):
        raise CheckpointError(f"metadata in {CONFIG_FILE} of '{folder}' is a {type(metadata).__name__}; an object is needed.")
    for key, kind in kinds.items():
        if metadata.get(key) is not None and not isinstance(metadata[key], kind):
            raise CheckpointError(
                f"metadata in {CONFIG_FILE} of '{folder}' has {key} = {metadata[key]!r}; {kind.__name__} is needed."
            )
    return metadata


def _with_model_folder(metadata: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its origin, with the way to its model where that lies on this machine."""
    path = folder / MODEL_FOLDER_FILE
    model = os.fsdecode(path.read_bytes()) if path.is_file() else ""
    return {**metadata, "model_name": model} if os.path.isdir(model) else metadata


def _tensor(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], folder: Path) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' has no tensor {name}.")
    if tuple(tensors[name].shape) != shape:
        raise CheckpointError(
            f"{name} in '{folder / WEIGHTS_FILE}' has the shape {tuple(tensors[name].shape)}; {CONFIG_FILE} says {shape}."
        )
    tensor = _floating(tensors[name], name, folder)
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{name} in '{folder / WEIGHTS_FILE}' holds values that are not finite in float32.")
    return tensor


def _floating(tensor: Tensor, name: str, folder: Path) -> Tensor:
    """Return a tensor of any floating type as float32."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(f"{name} in '{folder / WEIGHTS_FILE}' holds {kind} numbers; floating-point ones are needed.")
    return tensor.float()


def _threshold(tensors: dict[str, Tensor], folder: Path) -> float:
    threshold = tensors.get("threshold")
    if threshold is None or threshold.numel() != 1:
        found = "none" if threshold is None else f"one of shape {tuple(threshold.shape)}"
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' needs a tensor threshold with one element; it has {found}.")
    # Norms are float32, so the gate compares them with the threshold rounded to float32.
    value = float(_floating(threshold, "threshold", folder).reshape(()))
    if not math.isfinite(value):
        raise CheckpointError(f"threshold in '{folder / WEIGHTS_FILE}' is {value}, which is not finite.")
    if value < 0:
        raise CheckpointError(f"threshold in '{folder / WEIGHTS_FILE}' is {value}; a norm cannot be below 0.")
    return value
