"""The dictionary and the language model that a command's options name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, load
from atlas.errors import ConfigError
from pipelines.progress import say


class Subject(NamedTuple):
    """A dictionary, the model it reads, and how text becomes rows."""

    checkpoint: Checkpoint
    model: LanguageModel
    stream: StreamConfig


def load_subject(checkpoint: Path, model: str | None, hook: str | None, device: str) -> Subject:
    """Return the dictionary in a folder with the model and hook given, or else named in its metadata.

    Raises:
        ConfigError: neither names a model or hook.
    """
    loaded = load(checkpoint)
    named = {"--model": model or loaded.metadata.get("model_name"), "--hook": hook or loaded.metadata.get("hook_name")}
    missing = [option for option, value in named.items() if not value]
    if missing:
        raise ConfigError(f"The checkpoint '{checkpoint}' does not name its model or hook; give {' and '.join(missing)}.")
    class_name = loaded.metadata.get("model_class_name") if model is None else None
    place = torch_device(device)
    language_model = load_model(str(named["--model"]), str(named["--hook"]), place, class_name)
    on_device = Checkpoint(loaded.smixae.to(place), loaded.path, loaded.sha256, loaded.architecture, loaded.metadata)
    window_tokens = loaded.metadata.get("context_size") or StreamConfig().window_tokens
    return Subject(on_device, language_model, StreamConfig(window_tokens=int(window_tokens)))


def load_model(name: str, hook: str, device: torch.device, class_name: str | None = None) -> LanguageModel:
    """Return a language model, saying on stderr which."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    say(f"Loading {name}, cut at {hook}, on {device.type}")
    return LanguageModel.load(name, hook, class_name, device)


def torch_device(name: str) -> torch.device:
    """Return the device that `--device` names.

    Raises:
        ConfigError: cuda was asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda was asked for, but torch sees no CUDA device; use --device cpu.")
    return torch.device(name)
