"""The train stage: text ► residual-stream rows ► a checkpoint of our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from atlas.activations.carriers import carrier_documents
from atlas.activations.corpus import Corpus, Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Tokens, blocks, chunk_windows
from atlas.dictionary import save
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.dictionary.training import Step, TrainingConfig, train
from atlas.errors import ConfigError, CorpusError, ModelError
from atlas.harvest.harvest import Survey, describe_model, survey
from atlas.stages import Stage, fingerprint, is_finished, require_same_inputs, versions, write_arrays

STAGE = "train"
CHECKPOINT = "checkpoint"
"""The folder, in the stage's, that holds the trained dictionary."""


@dataclass(frozen=True)
class TrainConfig:
    """What a dictionary is trained on, and how."""

    carrier_share: float = 0.0
    """Largest share of the training tokens that carrier sentences may have; the demo takes 0.05."""
    max_tokens: int = 1_000_000
    """Most tokens that are read, held-out ones too: all are held in memory. The corpus is cut at the end of a chunk before."""
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
    documents: frozenset[int]
    """Hashes of the documents that the rows are from."""


def train_stage(
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: TrainConfig,
    gathered: Callable[[int], None] = lambda _: None,
    stepped: Callable[[Step], None] = lambda _: None,
    plan: Survey | None = None,
) -> Path:
    """Train a SMIXAE on the corpus' documents that are not held out, and return the folder of its checkpoint.

    `gathered` is told the number of rows run so far, `stepped` each tenth training step; `plan` is the survey of the corpus
    where it has been made already.

    Raises:
        WorkOccupied: the work folder holds a dictionary trained from other inputs.
        ConfigError: there is less text than one batch.
        CorpusError: there are too few documents to hold some of them out.
        ModelError: the model returns a value that is not finite.
    """
    plan = plan or survey(corpus, model.tokenizer, config.max_tokens)
    require_documents(corpus, plan)
    stage = Stage(work, STAGE, train_inputs(model, corpus, plan, config))
    folder = stage.folder / CHECKPOINT
    if stage.is_done():
        return folder
    corpus_rows, held_out = _corpus_rows(model, corpus, plan, config, gathered)
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
    }
    write_arrays(
        folder / TRAINED_ON_FILE,
        {
            "counts": (corpus_rows.vocabulary + carriers.vocabulary).cpu().numpy(),
            "documents": np.array(sorted(corpus_rows.documents | carriers.documents), dtype=np.uint64),
        },
    )
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
    stage.finish({}, {"train": stage.inputs, "training": about})
    return folder


def is_trained(model: LanguageModel, corpus: Corpus, plan: Survey, work: Path, config: TrainConfig) -> bool:
    """Return whether the work folder holds the dictionary that these inputs give.

    Raises:
        WorkOccupied: it holds one trained from other inputs.
    """
    return Stage(work, STAGE, train_inputs(model, corpus, plan, config)).is_done()


def require_own(work: Path, corpus: Corpus, plan: Survey, config: TrainConfig) -> None:
    """Raise WorkOccupied where the work folder holds a dictionary trained on other text or in another way."""
    if is_finished(work, STAGE):
        found, known = fingerprint(work, STAGE), json.loads(json.dumps(_known_inputs(corpus, plan, config)))
        require_same_inputs(work / STAGE, {key: found.get(key) for key in known}, known)


def _known_inputs(corpus: Corpus, plan: Survey, config: TrainConfig) -> dict[str, Any]:
    """Return those inputs of a training that are known before its model is loaded."""
    return {"corpus": {"name": corpus.name, "sha256": plan.sha256}, "settings": asdict(config)}


def train_inputs(model: LanguageModel, corpus: Corpus, plan: Survey, config: TrainConfig) -> dict[str, Any]:
    """Return everything that determines a trained dictionary."""
    return {
        **_known_inputs(corpus, plan, config),
        "model": describe_model(model),
        "device": {"type": model.device.type, "dtype": model.dtype, "threads": torch.get_num_threads()},
        "versions": versions("torch", "transformers", "tokenizers"),
    }


def require_documents(corpus: Corpus, plan: Survey) -> None:
    """Raise CorpusError unless there are documents both to train on and to hold out."""
    if plan.held_out in (0, plan.documents):
        raise CorpusError(
            f"'{corpus.name}' has too few documents to hold a fifth of them out ({plan.documents} in the part that is read); "
            "give a larger corpus."
        )


def _corpus_rows(
    model: LanguageModel, corpus: Corpus, plan: Survey, config: TrainConfig, gathered: Callable[[int], None]
) -> tuple[Gathered, Float[Tensor, "row d_in"]]:
    """Return the rows to train on, and those of held-out documents."""
    trained: list[Tensor] = []
    held_out: list[Tensor] = []
    ids: list[Tensor] = []
    documents: set[int] = set()
    n = 0
    for chunk in islice(corpus.chunks(), plan.chunks):
        for x, tokens in _rows(model, chunk, config.stream):
            out = tokens.held_out
            trained.append(x[~out])
            held_out.append(x[out])
            ids.append(tokens.token_id[~out])
            documents |= _identities(chunk, tokens.document[~out])
            n += len(x)
            gathered(n)
            if n >= config.max_tokens:
                break
        if n >= config.max_tokens:
            break
    none = torch.zeros(0, model.d_model, device=model.device)
    seen, unseen = torch.cat([none, *trained]), torch.cat([none, *held_out])
    if not len(seen) or not len(unseen):
        raise CorpusError(f"'{corpus.name}' has too little text to hold a fifth of it out; give a larger corpus.")
    return Gathered(seen, _counted(torch.cat(ids), model), frozenset(documents)), unseen


def _carrier_rows(model: LanguageModel, config: TrainConfig, n_rows: int) -> Gathered:
    """Return the first rows of carrier documents that do not go over `n_rows`."""
    empty = torch.zeros(0, model.d_model, device=model.device)
    if n_rows < 1:
        return Gathered(empty, _counted(torch.zeros(0, dtype=torch.int32, device=model.device), model), frozenset())
    # A carrier document has some 60 tokens; a third more of them than needed are written, and the rest cut off.
    documents = [Document(i, text, False) for i, text in enumerate(carrier_documents(n_rows // 45 + 1, config.training.seed))]
    parts = list(_rows(model, documents, config.stream))
    x, ids, ordinals = (
        torch.cat(columns)[:n_rows] for columns in zip(*((x, t.token_id, t.document) for x, t in parts), strict=True)
    )
    return Gathered(x, _counted(ids, model), frozenset(_identities(documents, ordinals)))


def _rows(model: LanguageModel, chunk: Iterable[Document], config: StreamConfig) -> Iterator[tuple[Tensor, Tokens]]:
    """Yield the rows of each block of a chunk, padding rows left out, and what is known of them."""
    for x, tokens in blocks(chunk_windows(chunk, model.tokenizer, config), model, config):
        rows = x[: len(tokens.token_id)]
        if not torch.isfinite(rows).all():
            hint = "" if model.dtype == "float32" else " Try --dtype float32."
            raise ModelError(f"'{model.name}' returned values that are not finite.{hint}")
        yield rows, tokens


def _identities(chunk: list[Document], ordinals: Int64[Tensor, "row"]) -> set[int]:
    """Return the hashes of the documents that rows are from."""
    first = chunk[0].ordinal
    return {chunk[ordinal - first].identity for ordinal in set(ordinals.tolist())}


def _counted(token_ids: Tensor, model: LanguageModel) -> Tensor:
    return torch.bincount(token_ids.long(), minlength=len(model.embeddings))
