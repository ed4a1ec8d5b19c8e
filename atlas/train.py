"""The train stage: text ► residual-stream rows ► a checkpoint of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from atlas.activations.carriers import carrier_documents
from atlas.activations.corpus import Corpus, Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import save
from atlas.dictionary.training import Step, TrainingConfig, train
from atlas.errors import ConfigError, CorpusError
from atlas.harvest.harvest import describe_model, survey
from atlas.stages import Stage, versions, write_arrays

STAGE = "train"
CHECKPOINT = "checkpoint"
"""The folder, in the stage's, that holds the trained dictionary."""

VOCABULARY_FILE = "training_vocabulary.safetensors"
"""How often each token id occurred in the training text, beside the weights."""


@dataclass(frozen=True)
class TrainConfig:
    """What a dictionary is trained on, and how."""

    carrier_share: float = 0.0
    """Largest share of the training tokens that carrier sentences may have; the demo takes 0.05."""
    max_tokens: int = 1_000_000
    """Training tokens are held in memory; the corpus is cut here."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.carrier_share <= 0.5:
            raise ConfigError(f"carrier_share is {self.carrier_share}; give a share from 0 to 0.5.")


class Gathered(NamedTuple):
    """Rows held in memory for training."""

    rows: Float[Tensor, "row d_in"]
    vocabulary: Int64[Tensor, "vocabulary"]
    """Occurrences of each token id among the rows."""


def train_stage(
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: TrainConfig,
    gathered: Callable[[int], None] = lambda _: None,
    stepped: Callable[[Step], None] = lambda _: None,
) -> Path:
    """Train a SMIXAE on the corpus' documents that are not held out, and return the folder of its checkpoint.

    `gathered` is told the number of rows run so far, `stepped` each tenth training step.

    Raises:
        WorkOccupied: the work folder holds a dictionary trained from other inputs.
        ConfigError: there is less text than one batch.
    """
    plan = survey(corpus)
    inputs = {
        "model": describe_model(model),
        "corpus": {"name": corpus.name, "sha256": plan.sha256},
        "settings": asdict(config),
        "device": {"type": model.device.type, "threads": torch.get_num_threads()},
        "versions": versions("torch", "transformers", "tokenizers"),
    }
    stage = Stage(work, STAGE, inputs)
    folder = stage.folder / CHECKPOINT
    if stage.is_done():
        return folder
    corpus_rows, held_out = _corpus_rows(model, corpus, config, gathered)
    n_corpus = len(corpus_rows.rows)
    carriers = _carrier_rows(model, config, int(n_corpus * config.carrier_share / (1 - config.carrier_share)))
    rows = torch.cat([corpus_rows.rows, carriers.rows])
    smixae = train(rows, held_out, config.training, stepped)

    about = {
        "tokens": len(rows),
        "carrier_share": len(carriers.rows) / len(rows),
        "steps": config.training.steps,
        "batch": config.training.batch,
        "k": config.training.k,
        "corpus": corpus.title,
        "corpus_sha256": plan.sha256,
    }
    folder.mkdir(parents=True, exist_ok=True)
    counts = corpus_rows.vocabulary + carriers.vocabulary
    write_arrays(folder / VOCABULARY_FILE, {"counts": counts.cpu().numpy()})
    save(
        smixae,
        folder,
        {
            "model_name": model.name,
            "model_class_name": model.auto_class,
            "hook_name": model.hook,
            "context_size": config.stream.window_tokens,
            "dataset_path": corpus.name,
            "atlas_training": about,
        },
    )
    stage.finish({}, {"train": inputs, "training": about})
    return folder


def training_vocabulary(checkpoint: Path) -> Int64[np.ndarray, "vocabulary"] | None:
    """Return how often each token id occurred in a checkpoint's training text; None where the checkpoint does not say."""
    from safetensors.numpy import load_file

    path = checkpoint / VOCABULARY_FILE
    return load_file(path)["counts"] if path.is_file() else None


def _corpus_rows(
    model: LanguageModel, corpus: Corpus, config: TrainConfig, gathered: Callable[[int], None]
) -> tuple[Gathered, Float[Tensor, "row d_in"]]:
    """Return the rows to train on, and those of held-out documents."""
    trained: list[Tensor] = []
    held_out: list[Tensor] = []
    ids: list[Tensor] = []
    n = 0
    for x, token_ids, out in _rows(model, corpus.chunks(), config.stream):
        trained.append(x[~out])
        held_out.append(x[out])
        ids.append(token_ids[~out])
        n += len(x)
        gathered(n)
        if n >= config.max_tokens:
            break
    none = torch.zeros(0, model.d_model, device=model.device)
    seen, unseen = torch.cat([none, *trained]), torch.cat([none, *held_out])
    if not len(seen) or not len(unseen):
        raise CorpusError(f"'{corpus.name}' has too few documents to hold a fifth of them out; give a larger corpus.")
    return Gathered(seen, _counted(torch.cat(ids), model)), unseen


def _carrier_rows(model: LanguageModel, config: TrainConfig, n_rows: int) -> Gathered:
    """Return the first rows of carrier documents that do not go over `n_rows`."""
    empty = torch.zeros(0, model.d_model, device=model.device)
    if n_rows < 1:
        return Gathered(empty, _counted(torch.zeros(0, dtype=torch.int32, device=model.device), model))
    # A carrier document has some 60 tokens; a third more of them than needed are written, and the rest cut off.
    documents = [Document(i, text, False) for i, text in enumerate(carrier_documents(n_rows // 45 + 1, config.training.seed))]
    parts = list(_rows(model, iter([documents]), config.stream))
    x, ids = torch.cat([part[0] for part in parts])[:n_rows], torch.cat([part[1] for part in parts])[:n_rows]
    return Gathered(x, _counted(ids, model))


def _rows(
    model: LanguageModel, chunks: Iterator[list[Document]], config: StreamConfig
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (rows, token ids, held out) of each block, padding rows left out."""
    for chunk in chunks:
        for x, tokens in blocks(chunk_windows(chunk, model.tokenizer, config), model, config):
            yield x[: len(tokens.token_id)], tokens.token_id, tokens.held_out


def _counted(token_ids: Tensor, model: LanguageModel) -> Tensor:
    return torch.bincount(token_ids.long(), minlength=len(model.embeddings))
