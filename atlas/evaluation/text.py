"""The text that an evaluation reads: held-out documents to measure on, and others to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from atlas.activations.corpus import Corpus, Document, TextHash
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Window, blocks, chunk_windows, of_corpus, require_finite
from atlas.dictionary import Checkpoint
from atlas.errors import ConfigError, CorpusError


@dataclass(frozen=True)
class EvaluationConfig:
    """How much text fidelity is measured on."""

    tokens: int = 250_000
    """About how many held-out tokens are read."""
    pca_rows: int = 32_768
    """Rows outside the held-out fifth that the principal components are fitted to, or as many as there are.

    Their windows are chosen by a hash, from all of the text that is read, since the first ones may be of one kind.
    """
    ce_tokens: int = 50_000
    """Most held-out tokens that cross-entropy is measured on: the whole model runs five times over them."""
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        for name in ("tokens", "pca_rows", "ce_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; an evaluation reads at least 1 token.")


class HeldOut(NamedTuple):
    """What is to be read, found in one pass over the text without the model."""

    chunks: int
    documents: int
    """Held-out ones: of the fifth, and not trained on."""
    others: int
    """Those outside the fifth."""
    tokens: int
    """About how many they hold, by the first chunk's tokens per character, and at most as many as are wanted."""
    pca_rows: int
    """About how many tokens outside the fifth are read, likewise."""
    pca_share: float
    """What share of them that is, from 0 to 1."""
    sha256: str
    """Of all documents of the chunks, in order."""
    files: int
    """Of the corpus' files, how many these are in."""

    @property
    def suffices(self) -> bool:
        """Whether there is text of both kinds, without which there is nothing to measure, or nothing to compare it with."""
        return self.documents > 0 and self.others > 0


def held_out_text(checkpoint: Checkpoint, corpus: Corpus, tokenizer: Any, config: EvaluationConfig) -> HeldOut:
    """Return how much of the corpus is read: up to the end of the chunk that brings both kinds of documents to what is wanted."""
    text = TextHash()
    held_out = others = held_out_characters = other_characters = chunks = files = 0
    first_tokens, first_characters = 0, 1
    for chunk in corpus.chunks():
        if not chunks:
            first_tokens = sum(len(document.tokens(tokenizer)) for document in chunk)
            first_characters = max(sum(document.characters for document in chunk), 1)
        for document in chunk:
            text.add(document)
            if _is_held_out(document, checkpoint):
                held_out += 1
                held_out_characters += document.characters
            elif is_outside(document):
                others += 1
                other_characters += document.characters
        chunks += 1
        files = chunk[-1].file + 1
        enough = held_out_characters * first_tokens >= config.tokens * first_characters
        if enough and other_characters * first_tokens >= config.pca_rows * first_characters:
            break

    def about(characters: int, most: int) -> int:
        return min(most, round(characters * first_tokens / first_characters))

    tokens, pca_rows = about(held_out_characters, config.tokens), about(other_characters, config.pca_rows)
    share = pca_rows * first_characters / max(other_characters * first_tokens, 1)
    return HeldOut(chunks, held_out, others, tokens, pca_rows, min(share, 1.0), text.sha256(), files)


def require_enough(corpus: Corpus, plan: HeldOut) -> None:
    """Raise CorpusError unless there is held-out text to measure on, and other text to compare with."""
    if not plan.suffices:
        raise CorpusError(
            f"'{corpus.name}' is too small to evaluate on: {_documents(plan.documents)} held out from the dictionary's "
            f"training and {_documents(plan.others)} outside that fifth; one of each is needed at least. Name a larger corpus "
            "with --corpus."
        )


class EvaluatedText:
    """The documents that an evaluation reads, as windows and as rows."""

    def __init__(
        self,
        corpus: Corpus,
        checkpoint: Checkpoint,
        plan: HeldOut,
        model: LanguageModel,
        config: EvaluationConfig,
        counted: Callable[[int], None],
    ) -> None:
        self.model = model
        self.config = config
        self.counted = counted
        self._corpus = corpus
        self._checkpoint = checkpoint
        self._plan = plan

    def is_held_out(self, document: Document) -> bool:
        return _is_held_out(document, self._checkpoint)

    def windows(self, belongs: Callable[[Document], bool], tokens: int, share: float = 1.0) -> Iterator[list[Window]]:
        """Yield the windows of each chunk's documents that belong, up to the one that brings them to so many tokens.

        Of these windows a hash of what they hold chooses about a share.
        """
        left = tokens
        for chunk in islice(self._corpus.chunks(), self._plan.chunks):
            taken = []
            for window in chunk_windows(filter(belongs, chunk), self.model.tokenizer, self.config.stream):
                if left > 0 and window.content < share * 2**63:
                    taken.append(window)
                    left -= len(window.token_ids)
            yield taken
            if left <= 0:
                return

    def blocks(
        self, belongs: Callable[[Document], bool], tokens: int, share: float = 1.0
    ) -> Iterator[tuple[Float[Tensor, "row d_in"], int]]:
        """Yield the rows of those windows in blocks of the one recorded size, with how many rows of each are real.

        Raises:
            ModelError: a row is not finite.
        """
        for windows in self.windows(belongs, tokens, share):
            for block in blocks(windows, self.model, self.config.stream):
                require_finite(block, self.model, of_corpus(self._corpus.name))
                n = len(block.tokens.document)
                yield block.x, n
                self.counted(n)


def _is_held_out(document: Document, checkpoint: Checkpoint) -> bool:
    known = checkpoint.trained_on
    return document.held_out and not (known and known.includes(document.identity))


def is_outside(document: Document) -> bool:
    """Return whether a document lies outside the fifth that is held out: there, whether it was trained on does not matter."""
    return not document.held_out


def _documents(n: int) -> str:
    return f"{n:,} document{'s' if n != 1 else ''}"
