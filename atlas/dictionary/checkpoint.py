"""The SAELens layout on disk: `cfg.json` and `sae_weights.safetensors`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.smixae import Smixae, Weights
from atlas.dictionary.trained_on import TrainedOn, trained_on
from atlas.errors import CheckpointError

ARCHITECTURES = ("smixae", "smixae_rebased")
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A dictionary with what its checkpoint says of its origin."""

    smixae: Smixae
    path: Path
    sha256: str
    """Of the weights file and the configuration."""
    architecture: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """The checkpoint's own metadata; every key is optional."""
    trained_on: TrainedOn | None = None
    """The text it was trained on, where it says so."""

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Return the checkpoint in the folder `path`, with float32 weights on the CPU.

        Raises:
            CheckpointError: the folder, a file, a key or a tensor is missing or not what a SMIXAE has, with its name.
        """
        return _load(Path(path))

    def to(self, device: torch.device) -> Checkpoint:
        """Return the same checkpoint with its weights on `device`."""
        return replace(self, smixae=self.smixae.to(device))


def load(path: str | Path) -> Smixae:
    """Return the SMIXAE in the folder `path`, with float32 weights on the CPU.

    Raises:
        CheckpointError: the folder, a file, a key or a tensor is missing or not what a SMIXAE has, with its name.
    """
    return Checkpoint.load(path).smixae


def _load(folder: Path) -> Checkpoint:
    if not folder.is_dir():
        raise CheckpointError(f"No checkpoint folder at '{folder}'. Give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}.")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"'{folder}' has no {name}. {_whereabouts(folder)}")
    stored = _stored_config(folder / CONFIG_FILE)
    config = _config(stored, folder)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except SafetensorError as error:
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' is not a whole safetensors file: {error}.") from error
    weights = Weights(*(_tensor(tensors, name, shape, folder) for name, shape in _shapes(config).items()))
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Checkpoint(
        smixae=Smixae(config, weights, _threshold(tensors, folder)),
        path=folder,
        sha256=digest.hexdigest(),
        architecture=stored["architecture"],
        metadata=_metadata(stored, folder),
        trained_on=trained_on(folder),
    )


def save(smixae: Smixae, path: str | Path, metadata: dict[str, Any]) -> None:
    """Write a SMIXAE as an inference checkpoint that SAELens reads too; files appear whole or not at all."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    config = smixae.config
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in smixae.weights._asdict().items()}
    tensors["threshold"] = torch.tensor(smixae.threshold, dtype=torch.float64)
    tensors["n_passes_since_fired"] = torch.zeros(config.n_experts, dtype=torch.int64)
    _write(folder / WEIGHTS_FILE, lambda part: save_file(tensors, part))
    stored = {
        "architecture": "smixae",
        "d_in": config.d_in,
        "d_sae": config.d_hidden,
        "n_experts": config.n_experts,
        "d_expert": config.d_expert,
        "d_bottleneck": config.d_code,
        "rescale_acts_by_decoder_norm": config.rescale_by_decoder_norm,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        "metadata": metadata,
    }
    _write(folder / CONFIG_FILE, lambda part: part.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all; what a killed process leaves is named as the stages name theirs, and swept with it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _whereabouts(folder: Path) -> str:
    """Return where the checkpoint of a folder that has none may be: in a work folder, or its train stage, it lies deeper."""
    for inside in (folder / "train" / "checkpoint", folder / "checkpoint"):
        if (inside / CONFIG_FILE).is_file():
            return f"There is a checkpoint in '{inside}': name that."
    return f"A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."


def _stored_config(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not JSON: {error}.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"'{path}' holds a {type(stored).__name__}; a JSON object is needed.")
    return stored


def _config(stored: dict[str, Any], folder: Path) -> SmixaeConfig:
    if stored.get("architecture") not in ARCHITECTURES:
        raise CheckpointError(
            f"'{folder}' holds the architecture {stored.get('architecture')!r}; Atlas maps {' and '.join(ARCHITECTURES)}."
        )
    widths = {key: stored.get(key) for key in ("d_in", "n_experts", "d_expert", "d_bottleneck")}
    wrong = [f"{key} = {value!r}" for key, value in widths.items() if not isinstance(value, int) or value < 1]
    if wrong:
        raise CheckpointError(f"{CONFIG_FILE} in '{folder}' needs a whole number of at least 1 for {', '.join(wrong)}.")
    normalisation = stored.get("normalize_activations", "none")
    if normalisation != "none":
        raise CheckpointError(
            f"'{folder}' expects activations normalised by {normalisation!r}; only folded checkpoints ('none') can be mapped."
        )
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
        rescale_by_decoder_norm=bool(stored.get("rescale_acts_by_decoder_norm", True)),
    )
    if stored.get("d_sae", config.d_hidden) != config.d_hidden:
        raise CheckpointError(
            f"{CONFIG_FILE} in '{folder}' has d_sae {stored['d_sae']}, "
            f"but n_experts · d_expert is {config.n_experts} · {config.d_expert} = {config.d_hidden}."
        )
    return config


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


def _shapes(config: SmixaeConfig) -> dict[str, tuple[int, ...]]:
    n, e, d, m = config.n_experts, config.d_expert, config.d_code, config.d_in
    return {
        "W_enc": (m, n * e),
        "b_enc": (n * e,),
        "W_bottleneck": (n, e, d),
        "W_latent_dec": (n, d, e),
        "W_dec": (n * e, m),
        "b_dec": (m,),
    }


def _tensor(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], folder: Path) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' has no tensor {name}.")
    if tuple(tensors[name].shape) != shape:
        raise CheckpointError(
            f"{name} in '{folder / WEIGHTS_FILE}' has the shape {tuple(tensors[name].shape)}; {CONFIG_FILE} says {shape}."
        )
    if not torch.isfinite(tensors[name]).all():
        raise CheckpointError(f"{name} in '{folder / WEIGHTS_FILE}' holds values that are not finite.")
    return tensors[name].float()


def _threshold(tensors: dict[str, Tensor], folder: Path) -> float:
    threshold = tensors.get("threshold")
    if threshold is None or threshold.numel() != 1:
        found = "none" if threshold is None else f"one of shape {tuple(threshold.shape)}"
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' needs a tensor threshold with one element; it has {found}.")
    if not torch.isfinite(threshold).all():
        raise CheckpointError(f"threshold in '{folder / WEIGHTS_FILE}' is {threshold.item()}, which is not finite.")
    if threshold.item() < 0:
        raise CheckpointError(f"threshold in '{folder / WEIGHTS_FILE}' is {threshold.item()}; a norm cannot be below 0.")
    # Norms are float32, so the gate compares them with the threshold rounded to float32.
    return float(threshold.double().reshape(()).float())
