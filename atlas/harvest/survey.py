"""What is to be read of a corpus, found in one pass over the text without the model."""

from __future__ import annotations

from typing import Any, NamedTuple

from atlas.activations.corpus import Corpus, TextHash


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


def survey(corpus: Corpus, tokenizer: Any, tokens: int | None = None) -> Survey:
    """Return how much text there is, and its hash, up to the end of the chunk that brings it to about `tokens`.

    Tokens per character are counted once, in the first chunk, so that every shard finds the same end.
    """
    text = TextHash()
    documents = held_out = chunks = characters = 0
    first_tokens, first_characters = 0, 1
    whole = True
    for chunk in corpus.chunks():
        if tokens is not None and chunks and characters * first_tokens >= tokens * first_characters:
            whole = False
            break
        for document in chunk:
            text.add(document)
            characters += document.characters
            held_out += document.held_out
        if not chunks:
            first_characters = max(characters, 1)
            first_tokens = sum(len(document.tokens(tokenizer)) for document in chunk)
        documents += len(chunk)
        chunks += 1
    about = round(characters * first_tokens / first_characters)
    return Survey(documents, held_out, chunks, about, text.sha256(), whole)
