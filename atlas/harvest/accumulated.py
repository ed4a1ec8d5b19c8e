"""Everything that one pass over a corpus keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from atlas.activations.corpus import Document
from atlas.dictionary import Firings, Smixae
from atlas.harvest.accumulators import Errors, NormHistogram, Totals, VocabularyCounts
from atlas.harvest.co_firing import CoFiring
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.mentions import MentionCounts, Mentioned, at_rows
from atlas.harvest.observed import Observed
from atlas.harvest.samples import FiredTokens, FiringSample, TopFirings
from atlas.harvest.token_sample import TokenSample

_TRAINED_ON = 1 << 62
"""Added to the order of mentions in documents that the dictionary was trained on, so that held-out ones come first."""


class Accumulated:
    """What has been kept of a corpus so far. Between two chunks it can be saved and restored, or merged with another part."""

    def __init__(self, shape: Shape, config: HarvestConfig, device: torch.device) -> None:
        n, d_code = shape.n_experts, shape.d_code
        self.totals = Totals(n, d_code, shape.threshold, shape.window_tokens, device)
        self.errors = Errors(n, shape.d_in, d_code, device, shape.threshold, shape.unit)
        self.histogram = NormHistogram(n, shape.threshold, device)
        self.vocabulary = VocabularyCounts(shape.n_vocabulary, device)
        self.sample = FiringSample(n, config.sample, device, d_code)
        self.fired_tokens = FiredTokens(n, config.fired_tokens, device)
        self.top = TopFirings(n, config.top, device)
        self.co_firing = CoFiring(n, device)
        self.token_sample = TokenSample(1, config.token_sample, d_code, device)
        self.mentions = TokenSample(shape.n_words, config.mentions, d_code, device)
        self.mention_counts = MentionCounts(shape.n_words)
        self._device = device
        self._mentioned: Mentioned | None = None

    def begin_chunk(self, documents: list[Document], mentioned: Mentioned) -> None:
        """Expect rows of these documents, in which labels are mentioned at these places."""
        self.totals.begin_chunk(documents[0].ordinal, len(documents))
        self.mention_counts.update(mentioned, [document.ordinal for document in documents if document.held_out])
        self._mentioned = Mentioned(*(column.to(self._device) for column in mentioned))

    def update(self, seen: Observed) -> None:
        """Add a batch."""
        for part in (self.totals, self.histogram, self.vocabulary, self.sample, self.fired_tokens, self.top, self.co_firing):
            part.update(seen)
        row = torch.arange(len(seen.token_key), device=self._device)
        self.token_sample.update(seen, row, torch.zeros_like(row), seen.token_key)
        if self._mentioned is not None and len(self._mentioned.word):
            row, word = at_rows(self._mentioned, seen.tokens)
            order = seen.token_key[row] >> 1 | torch.where(seen.tokens.held_out[row], 0, _TRAINED_ON)
            self.mentions.update(seen, row, word, order)

    def update_errors(self, x: Tensor, firings: Firings, held_out: Tensor, smixae: Smixae) -> Tensor:
        """Add the reconstruction errors of one block, and return what each firing spares, as `Errors` does."""
        return self.errors.update(x, firings, held_out, smixae)

    def close_chunk(self) -> None:
        """Have done with a chunk.

        Raises:
            SumOverflow: a sum left its 64 bits.
        """
        self.totals.close_chunk()
        self.errors.require_room()

    def merge(self, other: Accumulated) -> None:
        """Add what another part of the corpus gave.

        Raises:
            SumOverflow: a sum leaves its 64 bits.
        """
        for name, part in self._parts():
            part.merge(getattr(other, name))

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors on the CPU."""
        return {f"{name}.{key}": value.cpu() for name, part in self._parts() for key, value in part.state().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from, in place of nothing."""
        for name, part in self._parts():
            part.restore({key.partition(".")[2]: v.to(self._device) for key, v in state.items() if key.startswith(f"{name}.")})

    def _parts(self) -> Iterable[tuple[str, Any]]:
        return ((name, part) for name, part in vars(self).items() if not name.startswith("_"))
