"""How long a harvest will take, by running a few batches of its text."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import Window, batches, blocks, chunk_windows
from atlas.dictionary import Checkpoint
from atlas.harvest.config import HarvestConfig
from atlas.harvest.observed import Encoded, joined, observe

TIMED_BATCHES = 8
"""Most batches that are timed."""

TIMED_SECONDS = 2.0
"""Time after which no further batch is begun."""

ACCUMULATING = 1.2
"""What accumulating adds to the time of the model and the encoder, by docs/benchmarks/harvest.md."""


class Timed(NamedTuple):
    """How long some windows took, in the language model and the dictionary."""

    windows: int
    tokens: int
    seconds: float

    def seconds_for(self, tokens: int) -> float:
        """Return how long so many tokens take at this rate."""
        return ACCUMULATING * self.seconds * tokens / max(self.tokens, 1)


def timed(checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, config: HarvestConfig) -> Timed:
    """Return how long batches from all over the corpus' first chunk take, after one that is run untimed to warm up."""
    found = list(batches(chunk_windows(next(corpus.chunks()), model.tokenizer, config.stream), model.tokenizer, config.stream))
    # Batches come shortest first: those from all over have the chunk's mix of lengths.
    picked = found[:: -(-len(found) // TIMED_BATCHES)] if found else []
    windows = tokens = 0
    seconds = 0.0
    for number, batch in enumerate([*picked[-1:], *picked]):
        started = time.perf_counter()
        n = _run(batch, checkpoint, model, corpus, config)
        if number:
            windows, tokens, seconds = windows + len(batch), tokens + n, seconds + time.perf_counter() - started
            if seconds >= TIMED_SECONDS:
                break
    return Timed(windows, tokens, seconds)


def _run(batch: list[Window], checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, config: HarvestConfig) -> int:
    """Run one batch as far as its firings, and return its tokens."""
    n = 0
    for x, tokens in blocks(batch, model, config.stream):
        firings = checkpoint.smixae.firings(x)
        observe(joined([Encoded(tokens, firings, torch.full_like(firings.code[:, 0], torch.nan))]), config.seed, corpus.name)
        n += len(tokens.token_id)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return n
