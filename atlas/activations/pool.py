"""Rows to train on, in pools of bounded size: each is read, shuffled whole and used up before the next is read.

A pool depends on the corpus, the settings and where it begins, on nothing that was read before. So a training that was
interrupted reads the one pool that it was in once more, and goes on to the same bits without its activations ever being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from atlas.activations.carriers import carrier_documents
from atlas.activations.corpus import Corpus, Document, TextHash
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows, of_corpus, require_finite

CARRIER_TOKENS = 45
"""Fewer than a carrier document has (some 60), so that a third more of them are written than needed, and the rest cut off."""

CARRIERS = "the carrier sentences"
"""What a message calls the text that is none of the corpus'."""


class Pool(NamedTuple):
    """Rows of consecutive chunks, and of carrier sentences, special tokens left out."""

    rows: Float[Tensor, "row d_in"]
    first_chunk: int
    next_chunk: int | None
    """Where the next pool begins; None at the end of the corpus."""
    carriers: int
    """How many of the rows, the last ones, are of carrier sentences."""
    vocabulary: Int64[Tensor, "vocabulary"]
    """Occurrences of each token id among the rows."""
    documents: frozenset[int]
    """Hashes of the documents that the rows are from."""
    sha256: str
    """Of the text of its chunks."""

    def batches(self, size: int, seed: int, first: int = 0) -> Iterator[Float[Tensor, "token d_in"]]:
        """Yield the rows in batches, in an order that depends on the seed alone; a short batch at the end is left out.

        Batches before `first` are passed over.
        """
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        for start in range(first * size, len(order) - size + 1, size):
            yield self.rows[order[start : start + size].to(self.rows.device)]


@dataclass(frozen=True)
class PoolReader:
    """Reads the documents of a corpus that are not held out, and the rows of those that are."""

    model: LanguageModel
    corpus: Corpus
    stream: StreamConfig
    carrier_share: float
    """Largest share of a pool's rows that carrier sentences may have."""
    seed: int
    """Of the carrier sentences."""

    def read(self, first_chunk: int, most: int, told: Callable[[int], None] = lambda _: None) -> Pool:
        """Return the pool that begins at a chunk, of at most `most` rows; `told` hears how many there are so far.

        What the last chunk has beyond that is left out.

        Raises:
            ModelError: the model returns a value that is not finite.
        """
        held = _Rows(self.model, most)
        held.room = most - int(most * self.carrier_share)
        text = TextHash()
        next_chunk: int | None = None
        for number, chunk in enumerate(islice(self.corpus.chunks(), first_chunk, None), start=first_chunk):
            if held.full:
                next_chunk = number
                break
            for document in chunk:
                text.add(document)
            self._run([document for document in chunk if not document.held_out], held, told, self.corpus.name)
        of_text = held.n
        wanted = int(of_text * self.carrier_share / (1 - self.carrier_share))
        if carriers := most - of_text if held.full else wanted:
            held.room = of_text + carriers
            texts = carrier_documents(carriers // CARRIER_TOKENS + 1, self.seed + first_chunk)
            self._run([Document(i, text, False) for i, text in enumerate(texts)], held, told, CARRIERS)
        documents = frozenset(held.documents)
        return Pool(held.rows, first_chunk, next_chunk, held.n - of_text, held.vocabulary, documents, text.sha256())

    def held_out(self, most: int, told: Callable[[int], None] = lambda _: None) -> Float[Tensor, "row d_in"]:
        """Return the first rows of held-out documents.

        Raises:
            ModelError: the model returns a value that is not finite.
        """
        found = _Rows(self.model, most)
        for chunk in self.corpus.chunks():
            self._run([document for document in chunk if document.held_out], found, told, self.corpus.name)
            if found.full:
                break
        return found.rows

    def _run(self, documents: list[Document], into: _Rows, told: Callable[[int], None], of: str) -> None:
        by_ordinal = {document.ordinal: document.identity for document in documents}
        for block in blocks(chunk_windows(documents, self.model.tokenizer, self.stream), self.model, self.stream):
            require_finite(block, self.model, of_corpus(of))
            x, tokens = block
            n = into.add(x[: len(tokens.token_id)], tokens.token_id)
            into.documents |= {by_ordinal[ordinal] for ordinal in set(tokens.document[:n].tolist())}
            told(into.n)
            if into.full:
                break


class _Rows:
    """Rows as long as there is room for them, and what they are of."""

    def __init__(self, model: LanguageModel, most: int) -> None:
        # Pages of it that are never written to take no memory.
        self._held = torch.empty(most, model.d_model, device=model.device)
        self.room = most
        """How many there may be."""
        self.n = 0
        self.vocabulary = torch.zeros(len(model.embeddings), dtype=torch.int64, device=model.device)
        self.documents: set[int] = set()

    @property
    def full(self) -> bool:
        return self.n >= self.room

    @property
    def rows(self) -> Tensor:
        return self._held[: self.n]

    def add(self, rows: Tensor, token_ids: Tensor) -> int:
        """Take rows as long as there is room; return how many."""
        n = min(len(rows), self.room - self.n)
        self._held[self.n : self.n + n] = rows[:n]
        self.vocabulary += torch.bincount(token_ids[:n].long(), minlength=len(self.vocabulary))
        self.n += n
        return n
