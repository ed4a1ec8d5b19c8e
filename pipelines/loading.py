"""The text, the dictionary and the language model that a command's options name: what is cheap to refuse comes first."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, NamedTuple

import torch

from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import DTYPES, LanguageModel, load_tokenizer
from atlas.activations.pretrained import find
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
    trusts_code: bool = False


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
        ConfigError: neither names a model or hook, or there is no such device; or code is trusted of a model that only the
            checkpoint names.
    """
    if given.trust_remote_code and given.model is None:
        raise ConfigError("--trust-remote-code trusts the model that --model names, not one that a checkpoint names; give both.")
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
    model = NamedModel(name, hook, class_name, device, dtype, given.device_map, given.trust_remote_code)
    return NamedSubject(loaded, model)


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
    _quiet()
    device_map = None if named.device_map == "none" else named.device_map
    where = named.device.type if device_map is None else f"devices as '{device_map}' spreads it"
    say(f"Loading {named.name}, cut at {named.hook}, on {where}")
    if named.trusts_code:
        _say_own_code(named.name)
    return LanguageModel.load(
        named.name, named.hook, named.class_name, named.device, named.dtype, device_map, trusts_code=named.trusts_code
    )


def tokenizer_of(named: NamedModel) -> Any:
    """Return the tokenizer of a language model that is not loaded yet."""
    _quiet()
    if named.trusts_code:
        _say_own_code(named.name)
    return load_tokenizer(named.name, named.trusts_code)


def _quiet() -> None:
    """Keep transformers from drawing bars and tables: what is wrong with a model is said in one line, or not at all."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


@cache
def _say_own_code(name: str) -> None:
    """Say on stderr, once, which code of its own a trusted model is about to run, where it has any."""
    found = find(name, trusts_code=True)
    at = "" if found.revision is None else f" at revision {found.revision}"
    if found.own_code:
        say(f"--trust-remote-code: {name}{at} runs Python code of its own with your rights: {', '.join(found.own_code)}")


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
