"""One pass over a corpus: resumable, and cut into shards that any number of machines may run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

from atlas.activations.corpus import Corpus, Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import BLOCK_ROWS, StreamConfig, Window, blocks, chunk_windows
from atlas.dictionary import Checkpoint
from atlas.errors import ConfigError, CorpusError, ModelError
from atlas.harvest.accumulators import Accumulators, observe
from atlas.harvest.tables import tables
from atlas.stages import Stage, require_same_inputs, versions, write_arrays

STAGE = "harvest"


@dataclass(frozen=True)
class HarvestConfig:
    """What is kept of a corpus."""

    sample: int = 1000
    """Firings kept per expert, uniformly."""
    top: int = 64
    """Strongest firings kept per expert, from windows of distinct content."""
    seed: int = 0
    """Of the hash that chooses samples."""
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        for name in ("sample", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a harvest keeps at least 1 firing per expert.")


@dataclass(frozen=True)
class Shard:
    """Which chunks one run does: those c with c mod count = index."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard written as `i/N`, i from 0.

        Raises:
            ConfigError: it is not of that form, or i is not below N.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"'{text}' is not a shard; write i/N with i from 0 to N - 1, as in 0/4.")
        return cls(int(index), int(count))


@runtime_checkable
class Progress(Protocol):
    """Told after each chunk how far the pass is."""

    def __call__(self, *, chunks: int, of: int, tokens: int) -> None: ...


class Survey(NamedTuple):
    """What is to be read, found in one pass over the text without the model."""

    documents: int
    chunks: int
    sha256: str


def survey(corpus: Corpus) -> Survey:
    """Return how much text there is, and its hash."""
    documents = chunks = 0
    for chunk in corpus.chunks():
        documents += len(chunk)
        chunks += 1
    return Survey(documents, chunks, corpus.sha256())


def harvest(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: HarvestConfig,
    shard: Shard = Shard(),
    progress: Progress | None = None,
    save_every_s: float = 20.0,
) -> bool:
    """Run this shard's chunks and keep what every expert does in `work/harvest`; return whether the whole stage is finished.

    A run that was interrupted goes on from its last saved chunk. The shard that finishes last merges all of them.

    Raises:
        WorkOccupied: the folder holds parts of other inputs.
        ModelError: the model's width is not the dictionary's, or it returns a value that is not finite.
    """
    if model.d_model != checkpoint.smixae.d_in:
        raise ModelError(
            f"'{model.name}' has {model.d_model} numbers per token at '{model.hook}', the checkpoint reads "
            f"{checkpoint.smixae.d_in}; name the model and hook that it was trained on."
        )
    plan = survey(corpus)
    inputs = harvest_inputs(checkpoint, model, corpus, plan, config)
    stage = Stage(work, STAGE, inputs)
    if stage.is_done():
        return True
    stage.folder.mkdir(parents=True, exist_ok=True)
    part = Part(stage.folder, shard, inputs)
    _run(part, checkpoint, model, corpus, plan, config, progress, save_every_s)
    parts = [Part(stage.folder, Shard(index, shard.count), inputs) for index in range(shard.count)]
    if not all(other.is_finished() for other in parts):
        return False
    whole = parts[0].load(checkpoint.smixae.device)
    for other in parts[1:]:
        whole.merge(other.load(checkpoint.smixae.device))
    if not int(whole.totals.sums["tokens"]):
        raise CorpusError(f"The corpus '{corpus.name}' holds no token but special ones.")
    made = tables(whole, _Windows(stage.folder, plan.chunks), checkpoint, model, corpus)
    stage.finish(made.tables, {**provenance(inputs, checkpoint, plan, corpus), **made.provenance})
    return True


def harvest_inputs(
    checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, plan: Survey, config: HarvestConfig
) -> dict[str, Any]:
    """Return everything that determines the result of a harvest."""
    return {
        "checkpoint": checkpoint.sha256,
        "model": describe_model(model),
        "corpus": {"name": corpus.name, "sha256": plan.sha256},
        "settings": asdict(config),
        "device": {
            "type": model.device.type,
            "dtype": "float32",
            "threads": torch.get_num_threads(),
            "block_rows": BLOCK_ROWS[model.device.type],
        },
        "versions": versions("torch", "transformers", "tokenizers", "numpy"),
    }


def describe_model(model: LanguageModel) -> dict[str, Any]:
    """Return what identifies a language model and the place it is cut at."""
    return {
        "id": model.name,
        "hook": model.hook,
        "class": model.class_name,
        "d_in": model.d_model,
        "revision_or_sha256": model.fingerprint,
        "tokenizer_sha256": model.tokenizer_sha256,
        "note": None if model.is_causal else "A bidirectional encoder: a row sees the text on both sides of its token.",
    }


def provenance(inputs: dict[str, Any], checkpoint: Checkpoint, plan: Survey, corpus: Corpus) -> dict[str, Any]:
    """Return what a reader needs to know of where a harvest came from."""
    config = checkpoint.smixae.config
    return {
        "model": inputs["model"],
        "dictionary": {
            "architecture": checkpoint.architecture,
            "n_experts": config.n_experts,
            "d_expert": config.d_expert,
            "d_code": config.d_code,
            "threshold": checkpoint.smixae.threshold,
            "sha256": checkpoint.sha256,
        },
        "training": checkpoint.metadata.get("atlas_training"),
        "corpus": {
            "name": corpus.name,
            "title": corpus.title,
            "description": corpus.description,
            "documents": plan.documents,
            "sha256": plan.sha256,
        },
        "settings": {"harvest": inputs["settings"], "device": inputs["device"]},
        "versions": inputs["versions"],
    }


class Part:
    """One shard's state on disk, and the windows that it met."""

    def __init__(self, folder: Path, shard: Shard, inputs: dict[str, Any]) -> None:
        self.folder = folder
        self.shard = shard
        self.inputs = json.loads(json.dumps(inputs))
        self.path = folder / f"part-{shard.index}-of-{shard.count}.safetensors"

    def next_chunk(self) -> int:
        """Return the first chunk that is not yet in the saved state.

        Raises:
            WorkOccupied: the state was made from other inputs.
        """
        return int(self._about()["next_chunk"]) if self.path.is_file() else 0

    def is_finished(self) -> bool:
        """Return whether all of the shard's chunks are in the saved state."""
        return self.path.is_file() and bool(self._about()["finished"])

    def load(self, device: torch.device) -> Accumulators:
        """Return the saved state."""
        from safetensors.torch import load_file as load_tensors

        return Accumulators.from_state(load_tensors(self.path), device)

    def save(self, kept: Accumulators, next_chunk: int, finished: bool) -> None:
        """Save the state between two chunks, whole or not at all."""
        about = {"inputs": self.inputs, "next_chunk": next_chunk, "finished": finished}
        arrays = {name: value.numpy() for name, value in kept.state().items()}
        write_arrays(self.path, arrays, {"about": json.dumps(about)})

    def save_windows(self, chunk: int, windows: list[Window]) -> None:
        """Spool a chunk's windows, so that those that evidence points into can be stored in the end."""
        lengths = [len(window.token_ids) for window in windows]
        write_arrays(
            self.folder / f"windows-{chunk:06d}.safetensors",
            {
                "document": np.array([window.document for window in windows], dtype=np.int64),
                "ordinal": np.array([window.ordinal for window in windows], dtype=np.int32),
                "token_ids": np.array([token for window in windows for token in window.token_ids], dtype=np.int32),
                "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            },
        )

    def _about(self) -> dict[str, Any]:
        with safe_open(self.path, "numpy") as file:
            about: dict[str, Any] = json.loads(file.metadata()["about"])
        require_same_inputs(self.folder, about["inputs"], self.inputs)
        return about


class _Windows:
    """The spooled windows of all shards."""

    def __init__(self, folder: Path, chunks: int) -> None:
        self.folder = folder
        self.chunks = chunks

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        for chunk in range(self.chunks):
            yield load_file(self.folder / f"windows-{chunk:06d}.safetensors")


def _run(
    part: Part,
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    plan: Survey,
    config: HarvestConfig,
    progress: Progress | None,
    save_every_s: float,
) -> None:
    """Bring a shard's saved state from where it stands to its end."""
    if part.is_finished():
        return
    first = part.next_chunk()
    smixae = checkpoint.smixae
    if part.path.is_file():
        kept = part.load(smixae.device)
    else:
        kept = Accumulators.empty(smixae, len(model.embeddings), config.sample, config.top)
    # Text that the dictionary was not trained on is all held out.
    trained_on = (checkpoint.metadata.get("atlas_training") or {}).get("corpus_sha256") == plan.sha256
    saved = time.monotonic()
    for number, chunk in enumerate(corpus.chunks()):
        if number % part.shard.count != part.shard.index or number < first:
            continue
        if not trained_on:
            chunk = [document._replace(held_out=True) for document in chunk]
        windows = chunk_windows(chunk, model.tokenizer, config.stream)
        for x, tokens in blocks(windows, model, config.stream):
            if not torch.isfinite(x).all():
                raise ModelError(f"'{model.name}' returned values that are not finite in {_named(chunk)}.")
            kept.update(observe(x, smixae.firings(x), tokens, smixae, config.seed, corpus.name))
        part.save_windows(number, windows)
        if time.monotonic() - saved >= save_every_s:
            part.save(kept, number + 1, finished=False)
            saved = time.monotonic()
        if progress:
            progress(chunks=number + 1, of=plan.chunks, tokens=int(kept.totals.sums["tokens"]))
    part.save(kept, plan.chunks, finished=True)


def _named(chunk: list[Document]) -> str:
    return f"documents {chunk[0].ordinal} to {chunk[-1].ordinal}"
