"""The text, the dictionary and the language model that a command's options name: what is cheap to refuse comes first."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import DTYPES, LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint
from atlas.errors import ConfigError
from atlas.harvest.harvest import require_same_width
from atlas.harvest.survey import Survey
from pipelines.options import SubjectOptions
from pipelines.progress import say


class NamedModel(NamedTuple):
    """A language model that is not loaded yet."""

    name: str
    hook: str
    class_name: str | None
    device: torch.device
    dtype: torch.dtype
    device_map: str = "none"


class NamedSubject(NamedTuple):
    """A dictionary, and the model it reads by its name."""

    checkpoint: Checkpoint
    model: NamedModel


class Subject(NamedTuple):
    """A dictionary, the model it reads, and how text becomes rows."""

    checkpoint: Checkpoint
    model: LanguageModel
    stream: StreamConfig


def readable_corpus(source: str) -> Corpus:
    """Return a corpus whose first text has been read.

    Raises:
        CorpusError: it cannot be, or there is none.
    """
    corpus = load_corpus(source)
    corpus.require_text()
    return corpus


def named_subject(given: SubjectOptions) -> NamedSubject:
    """Return the dictionary of a checkpoint with the model and hook given, or else named in its metadata.

    Raises:
        CheckpointError: the dictionary cannot be loaded.
        ConfigError: neither names a model or hook, or there is no such device.
    """
    device = torch_device(given.device)
    loaded = Checkpoint.load(given.checkpoint)
    named = {
        "--model": given.model or loaded.metadata.get("model_name"),
        "--hook": given.hook or loaded.metadata.get("hook_name"),
    }
    missing = [option for option, value in named.items() if not value]
    if missing:
        raise ConfigError(f"The checkpoint '{given.checkpoint}' does not name its model or hook; give {' and '.join(missing)}.")
    class_name = loaded.metadata.get("model_class_name") if given.model is None else None
    name, hook, dtype = str(named["--model"]), str(named["--hook"]), DTYPES[given.dtype]
    return NamedSubject(loaded, NamedModel(name, hook, class_name, device, dtype, given.device_map))


def stream_config(checkpoint: Checkpoint) -> StreamConfig:
    """Return windows of the length that the dictionary was trained on, where it says so."""
    return StreamConfig(window_tokens=int(checkpoint.metadata.get("context_size") or StreamConfig().window_tokens))


def load_subject(named: NamedSubject) -> Subject:
    """Return a dictionary with its model, both on the device.

    Raises:
        ModelError: the model cannot be loaded, lacks the hook, or is of another width than the dictionary.
    """
    model = load_model(named.model)
    require_same_width(named.checkpoint, model)
    if named.checkpoint.metadata.get("prepend_bos") is True and not model.specials.prefix:
        say(
            "The checkpoint was trained behind a beginning-of-text token (prepend_bos), and the model's tokenizer puts none; "
            "the windows go without."
        )
    return Subject(named.checkpoint.to(named.model.device), model, stream_config(named.checkpoint))


def load_model(named: NamedModel) -> LanguageModel:
    """Return a language model, saying on stderr which."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    device_map = None if named.device_map == "none" else named.device_map
    where = named.device.type if device_map is None else f"devices as '{device_map}' spreads it"
    say(f"Loading {named.name}, cut at {named.hook}, on {where}")
    return LanguageModel.load(named.name, named.hook, named.class_name, named.device, named.dtype, device_map)


def torch_device(name: str) -> torch.device:
    """Return the device that `--device` names; each process that torchrun starts on a machine gets a GPU of its own.

    Raises:
        ConfigError: cuda was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("--device cuda was asked for, but torch sees no CUDA device; use --device cpu.")
    if name == "cpu" or not there:
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        return torch.device("cuda")
    own = torch.device("cuda", int(rank) % torch.cuda.device_count())
    # Otherwise what names no GPU (pinned memory, waiting for it) would go to the first one.
    torch.cuda.set_device(own)
    return own


def said_corpus(corpus: Corpus, plan: Survey) -> str:
    """Return how much of a corpus is read, in words."""
    documents = f"{plan.documents:,} document{'s' if plan.documents != 1 else ''}"
    chunks = f"{plan.chunks:,} chunk{'s' if plan.chunks != 1 else ''}"
    read = f"all {documents}" if plan.whole else f"the first {documents}"
    return f"Corpus: {corpus.title}, {read}, about {plan.tokens:,} tokens in {chunks}"


def said_model(model: LanguageModel) -> str:
    """Return which model is run and how, in words."""
    return f"Model: {model.name} at {model.hook}, {model.dtype} on {model.device.type}"
