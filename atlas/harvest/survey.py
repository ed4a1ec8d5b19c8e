"""What is to be read of a corpus, found in one pass over the text without the model."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from atlas.activations.corpus import Corpus, Document, TextHash
from atlas.harvest.keys import chunk_key

IMPORTANCE_TOKENS = 1_000_000
"""Held-out tokens of a longer corpus that importance is measured on: about as many, in whole chunks chosen by a hash."""


class Survey(NamedTuple):
    """How much text there is, and its hash."""

    documents: int
    held_out: int
    """Documents of the fifth that no dictionary is trained on."""
    chunks: int
    tokens: int
    """About how many, by the first chunk's tokens per character."""
    sha256: str
    """Of these documents in order."""
    whole: bool
    """The corpus ends here."""
    characters: tuple[int, ...]
    """Of each chunk."""
    held_out_characters: tuple[int, ...]
    """Of these, in documents that the dictionary at hand was not trained on."""
    files: int = 0
    """Of the corpus' files, how many these documents are in."""

    def measured(self, seed: int, corpus: str) -> frozenset[int]:
        """Return the chunks that importance is measured on: all with held-out text, or as many as hold `IMPORTANCE_TOKENS` of it.

        Where nothing is held out they are chosen from all chunks.
        """
        has = self.held_out_characters if self.has_held_out else self.characters
        wanted = IMPORTANCE_TOKENS * sum(self.characters) / max(self.tokens, 1)
        chosen: set[int] = set()
        found = 0
        for chunk in sorted((chunk for chunk, n in enumerate(has) if n), key=lambda chunk: chunk_key(seed, corpus, chunk)):
            if found >= wanted:
                break
            chosen.add(chunk)
            found += has[chunk]
        return frozenset(chosen)

    @property
    def has_held_out(self) -> bool:
        """Whether there is any text that the dictionary at hand was not trained on."""
        return any(self.held_out_characters)


def survey(
    corpus: Corpus,
    tokenizer: Any,
    tokens: int | None = None,
    is_held_out: Callable[[Document], bool] = attrgetter("held_out"),
) -> Survey:
    """Return how much text there is, and its hash, up to the end of the chunk that brings it to about `tokens`.

    Tokens per character are counted once, in the first chunk, so that every shard finds the same end.
    """
    text = TextHash()
    documents = held_out = characters = files = 0
    of_chunks: list[int] = []
    of_held_out: list[int] = []
    first_tokens, first_characters = 0, 1
    whole = True
    for chunk in corpus.chunks():
        if tokens is not None and of_chunks and characters * first_tokens >= tokens * first_characters:
            whole = False
            break
        for document in chunk:
            text.add(document)
            held_out += document.held_out
        of_held_out.append(sum(document.characters for document in chunk if is_held_out(document)))
        characters += sum(document.characters for document in chunk)
        if not of_chunks:
            first_characters = max(characters, 1)
            first_tokens = sum(len(document.tokens(tokenizer)) for document in chunk)
        documents += len(chunk)
        files = chunk[-1].file + 1
        of_chunks.append(sum(document.characters for document in chunk))
    about = round(characters * first_tokens / first_characters)
    return Survey(documents, held_out, len(of_chunks), about, text.sha256(), whole, tuple(of_chunks), tuple(of_held_out), files)
