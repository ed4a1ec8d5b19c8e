"""What tests of the pass share: a small corpus, a dictionary for it, and when two harvests are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tiny
from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.harvest.config import HarvestConfig
from atlas.stages import Column, Ragged

CONFIG = HarvestConfig(
    sample=40, fired_tokens=60, top=8, token_sample=90, mentions=3, stream=StreamConfig(window_tokens=32, model_batch=4)
)
"""Keeps little, so that a small corpus has more of everything than is kept."""

WORDS = {"months": ("May", "June", "July"), "days": ("Monday", "Tuesday", "Friday"), "numbers": ("42", "2", "3")}
"""Labels, of which the tiny documents mention some."""

CHUNK_CHARACTERS = 900
"""Chunks of a few documents, so that a small corpus has several."""

Tables = dict[str, dict[str, Column]]


def corpus_of(path: Path, texts: list[str]) -> Corpus:
    """Write texts as a .jsonl file, and return it as a corpus."""
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return load_corpus(str(path))


def dictionary_for(model: LanguageModel, corpus: Corpus, folder: Path, metadata: dict[str, Any] | None = None) -> Checkpoint:
    """A random dictionary, shifted and scaled to the model's rows so that every expert fires on some and not on others."""
    windows = chunk_windows(corpus.read(), model.tokenizer, CONFIG.stream)
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, model, CONFIG.stream)])
    wide = tiny.dictionary(threshold=1.0)
    W_enc = wide.weights.W_enc / x.std()
    b_enc = wide.weights.b_enc - x.mean(dim=0) @ W_enc
    save(Smixae(wide.config, wide.weights._replace(W_enc=W_enc, b_enc=b_enc), wide.threshold), folder, metadata or {})
    return Checkpoint.load(folder)


def raw(column: Column) -> object:
    """A column as something that is equal only to the same bits."""
    if isinstance(column, Ragged):
        return raw(column.values), raw(column.offsets)
    if isinstance(column, np.ndarray):
        return column.dtype.str, column.shape, column.tobytes()
    return column


def assert_same(found: Tables, expected: Tables) -> None:
    """Hold that two harvests have the same tables, to the bit."""
    assert {table: set(columns) for table, columns in found.items()} == {t: set(columns) for t, columns in expected.items()}
    differ = [
        f"{table}.{name}"
        for table, columns in expected.items()
        for name, column in columns.items()
        if raw(found[table][name]) != raw(column)
    ]
    assert differ == []
