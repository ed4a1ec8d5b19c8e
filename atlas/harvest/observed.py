"""Rows with what the dictionary made of them: what every accumulator is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from atlas.activations.stream import Tokens
from atlas.dictionary import Firings
from atlas.dictionary.smixae import code_norms
from atlas.harvest.keys import firing_hashes, keys, token_hashes


class Encoded(NamedTuple):
    """Rows and the firings on them, sorted by (row, expert)."""

    tokens: Tokens
    firings: Firings
    gain: Float32[Tensor, "firing"]
    """What each firing spares of the squared error, in the unit of `Errors`; NaN where that is not measured."""


class Observed(NamedTuple):
    """Some real rows, whole windows of them, and all firings on them, sorted by (row, expert)."""

    tokens: Tokens
    token_key: Int64[Tensor, "token"]
    """Hash of the token's place in the corpus, from 0 to 2⁶³ - 1."""
    row: Int64[Tensor, "firing"]
    """Index into `tokens` of the row that each firing is on."""
    expert: Int64[Tensor, "firing"]
    code: Float[Tensor, "firing d_code"]
    norm: Float[Tensor, "firing"]
    key: Int64[Tensor, "firing"]
    """Hash of the firing: of its token's place and its expert."""
    gain: Float32[Tensor, "firing"]
    """As in `Encoded`."""

    def windows(self) -> Int64[Tensor, "token"]:
        """Return which of the batch's windows each row is in, from 0."""
        return _window_starts(self.tokens).long().cumsum(0) - 1


def joined(blocks: Sequence[Encoded]) -> Encoded:
    """Return the real rows of some blocks, one after the other; firings may go on into padding rows."""
    firings, gains = [], []
    n = 0
    for tokens, found, gain in blocks:
        n_real = len(tokens.document)
        # Firings stand in the order of their rows, so those on padding come last.
        real = int(torch.searchsorted(found.token, n_real))
        firings.append(Firings(found.token[:real] + n, found.expert[:real], found.code[:real]))
        gains.append(gain[:real])
        n += n_real
    tokens = Tokens(*(torch.cat(columns) for columns in zip(*(block.tokens for block in blocks), strict=True)))
    return Encoded(tokens, Firings(*(torch.cat(columns) for columns in zip(*firings, strict=True))), torch.cat(gains))


def before_last_window(rows: Encoded) -> tuple[Encoded, Encoded]:
    """Return real rows without those of the last window, which may not have ended, and these."""
    first = int(_window_starts(rows.tokens).nonzero()[-1])
    split = int(torch.searchsorted(rows.firings.token, first))
    parts = []
    for of_rows, of_firings, moved in ((slice(first), slice(split), 0), (slice(first, None), slice(split, None), first)):
        tokens = Tokens(*(column[of_rows] for column in rows.tokens))
        token, expert, code = (column[of_firings] for column in rows.firings)
        parts.append(Encoded(tokens, Firings(token - moved, expert, code), rows.gain[of_firings]))
    return parts[0], parts[1]


def observe(rows: Encoded, seed: int, corpus: str) -> Observed:
    """Return real rows with the hashes by which firings are chosen."""
    row, expert, code = rows.firings.token.long(), rows.firings.expert.long(), rows.firings.code
    token_hash = token_hashes(seed, corpus, rows.tokens)
    key = keys(firing_hashes(token_hash.index_select(0, row), expert))
    return Observed(rows.tokens, keys(token_hash), row, expert, code, code_norms(code, dim=1), key, rows.gain)


def _window_starts(tokens: Tokens) -> Tensor:
    """Return whether each row is the first of its window."""
    starts = torch.ones_like(tokens.document, dtype=torch.bool)
    starts[1:] = (tokens.document[1:] != tokens.document[:-1]) | (tokens.window[1:] != tokens.window[:-1])
    return starts
