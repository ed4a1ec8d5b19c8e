"""Where a corpus mentions the labels of labelled tasks by itself."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from atlas.activations.corpus import Document
from atlas.activations.model import Specials
from atlas.activations.stream import Tokens

Words = Mapping[str, Sequence[str]]
"""The labels of each labelled task, in order, by the task's name."""

# Accents that stand behind their letter count as part of the word, which \w leaves out.
_OF_WORD = r"[\w\u0300-\u036f]"
_BEFORE = rf"(?<!{_OF_WORD})(?<!\.(?=\d))(?<!\d,(?=\d))"
_BEHIND = rf"(?!{_OF_WORD})(?!(?<=\d)[.,]\d)"


class Mentioned(NamedTuple):
    """Where words stand, in the order of documents and of the text; one entry per mention and word, on the CPU."""

    document: Int64[Tensor, "mention"]
    window: Int32[Tensor, "mention"]
    """Ordinal of the window in its document."""
    position: Int32[Tensor, "mention"]
    """Index into the window's tokens of the one that the word ends in."""
    word: Int64[Tensor, "mention"]
    """Index into the labels of all tasks, in order."""


class Mentions:
    """Finds whole words that are spelled as a label is.

    A number within a longer one (3.42, 42.5, 42,000) is no mention of it. Where labels overlap the longest counts, the first of
    equally long ones; a word that is a label of several tasks counts for each.
    """

    def __init__(self, words: Words) -> None:
        labels = [label for task in words.values() for label in task]
        self.n_words = len(labels)
        self._words: dict[str, list[int]] = defaultdict(list)
        for word, label in enumerate(labels):
            # A blank label is no word.
            if label.strip():
                self._words[label].append(word)
        # The longest first, for of alternatives the first that fits is taken. The set of first letters is looked at before all
        # else: seven times as fast.
        alternatives = "|".join(map(re.escape, sorted(self._words, key=lambda label: (-len(label), label))))
        initials = "".join(sorted({re.escape(label[0]) for label in self._words}))
        # Looking ahead takes nothing from the text, so that overlapping labels are all found.
        self._pattern = re.compile(rf"(?=[{initials}]){_BEFORE}(?=({alternatives}){_BEHIND})" if alternatives else "(?!)")

    def find(self, documents: list[Document], tokenizer: Any, width: int) -> Mentioned:
        """Return every mention in the documents, at the token that it ends in, in windows of `width` tokens.

        Documents that came as token ids are searched between their special tokens, in the text that the tokenizer decodes them
        to; where that text has other token ids, nothing is found. Nothing is found for a slow tokenizer either, which does not
        say where in the text its tokens are.
        """
        found: list[tuple[int, int, int, int]] = []
        if tokenizer.is_fast and self._words:
            for document, before, text, ids in _pieces(documents, tokenizer):
                if spans := self.spans(text):
                    found += [
                        (document, *divmod(before + token, width), word)
                        for token, word in self._places(text, spans, ids, tokenizer)
                    ]
        columns = torch.tensor(found, dtype=torch.int64).reshape(-1, 4).T.contiguous()
        return Mentioned(columns[0], columns[1].int(), columns[2].int(), columns[3])

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the first character of each mention and one past its last, in the order of the text."""
        spans = [match.span(1) for match in self._pattern.finditer(text)]
        if all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False)):
            return spans
        chosen: list[tuple[int, int]] = []
        for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            at = bisect_left(chosen, (start, end))
            if (at == 0 or chosen[at - 1][1] <= start) and (at == len(chosen) or end <= chosen[at][0]):
                chosen.insert(at, (start, end))
        return chosen

    def _places(
        self, text: str, spans: list[tuple[int, int]], ids: list[int] | None, tokenizer: Any
    ) -> Iterator[tuple[int, int]]:
        """Yield index of the token and word of each span, unless the text has other token ids than `ids`."""
        # verbose: no warning about documents longer than the model's context, which is why there are windows
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if ids is not None and encoded["input_ids"] != ids:
            return
        starts = [start for start, _ in encoded["offset_mapping"]]
        for start, end in spans:
            # Of the tokens that begin before the word's end the last one: the very place that a probe reads.
            token = bisect_left(starts, end) - 1
            if token >= 0 and encoded["offset_mapping"][token][1] > start:
                for word in self._words[text[start:end]]:
                    yield token, word


def _pieces(documents: list[Document], tokenizer: Any) -> Iterator[tuple[int, int, str, list[int] | None]]:
    """Yield the ordinal of each document, how many of its tokens are before the piece, the piece's text and, where it came as
    token ids, those."""
    specials: frozenset[int] | None = None
    for document in documents:
        if document.token_ids is None:
            yield document.ordinal, 0, document.text, None
            continue
        if specials is None:
            specials = Specials(tokenizer).ids
        before = 0
        for special, run in groupby(document.token_ids, key=specials.__contains__):
            if not special:
                ids = list(run)
                yield document.ordinal, before, tokenizer.decode(ids, clean_up_tokenization_spaces=False), ids
                before += len(ids)


class MentionCounts:
    """Exact counts per word: mentions, those in held-out documents, and documents that mention it."""

    def __init__(self, n_words: int) -> None:
        self.counts: dict[str, Int64[Tensor, "word"]] = {
            name: torch.zeros(n_words, dtype=torch.int64) for name in ("mentions", "held_out", "documents")
        }

    def update(self, found: Mentioned, held_out_documents: Iterable[int]) -> None:
        """Add what was found in one chunk, of whose documents those of the given ordinals are held out.

        No document may come in two updates, or it would count twice.
        """
        n_words = len(self.counts["mentions"])
        held_out = torch.isin(found.document, torch.tensor(list(held_out_documents), dtype=torch.int64))
        of_document = torch.unique(found.document * n_words + found.word) % n_words if n_words else found.word
        for name, word in (("mentions", found.word), ("held_out", found.word[held_out]), ("documents", of_document)):
            self.counts[name] += torch.bincount(word, minlength=n_words)

    def merge(self, other: MentionCounts) -> None:
        """Add another part's counts."""
        for name, counts in other.counts.items():
            self.counts[name] += counts

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return dict(self.counts)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from, in place of nothing."""
        self.counts = {name: state[name] for name in self.counts}


def at_rows(found: Mentioned, tokens: Tokens) -> tuple[Int64[Tensor, "chosen"], Int64[Tensor, "chosen"]]:
    """Return the rows of a batch that a mention is at, and its word, sorted by (row, word) and each pair once.

    Rows may stand in any order, and need not hold all that was found: special tokens that a text spells out have no row. The
    result is on the tokens' device; `found` is moved there if it is elsewhere, so a caller with many batches moves it once.
    """
    device = tokens.document.device
    document, window, position, word = (column.to(device).long() for column in found)
    if not len(word) or not len(tokens.document):
        return word[:0], word[:0]
    # Places of mentions are numbered from 0 in the first document on. A row in an earlier document has a number below 0, and one
    # that lies beyond the windows or positions would have the number of another place, so it gets none.
    n_windows, n_positions = window.max() + 1, position.max() + 1
    first = document.min()
    place = ((document - first) * n_windows + window) * n_positions + position
    row_place = ((tokens.document - first) * n_windows + tokens.window) * n_positions + tokens.position
    inside = (tokens.window < n_windows) & (tokens.position < n_positions)
    row_place, row = torch.where(inside, row_place, -1).sort()
    at = torch.searchsorted(row_place, place).clamp_max(len(row) - 1)
    hits = (row_place[at] == place).nonzero().flatten()
    # One token may hold a word twice, but is offered to its group once.
    n_words = word.max() + 1
    pairs = torch.unique(row[at[hits]] * n_words + word[hits])
    return pairs // n_words, pairs % n_words
