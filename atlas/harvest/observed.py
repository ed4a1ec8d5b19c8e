"""Rows with what the dictionary made of them: what every accumulator is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from atlas.activations.stream import Tokens
from atlas.dictionary import Firings
from atlas.dictionary.smixae import code_norms
from atlas.harvest.keys import firing_hashes, keys, token_hashes


class Observed(NamedTuple):
    """Some real rows and all firings on them, sorted by (row, expert)."""

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


def observe(blocks: Sequence[tuple[Tokens, Firings]], seed: int, corpus: str) -> Observed:
    """Return the real rows of some blocks, one after the other; firings may go on into padding rows."""
    rows, experts, codes = [], [], []
    n = 0
    for tokens, firings in blocks:
        n_real = len(tokens.document)
        # Firings stand in the order of their rows, so those on padding come last.
        real = int(torch.searchsorted(firings.token, n_real))
        rows.append(firings.token[:real].long() + n)
        experts.append(firings.expert[:real])
        codes.append(firings.code[:real])
        n += n_real
    about = Tokens(*(torch.cat(columns) for columns in zip(*(tokens for tokens, _ in blocks), strict=True)))
    row, expert, code = torch.cat(rows), torch.cat(experts).long(), torch.cat(codes)
    token_hash = token_hashes(seed, corpus, about)
    key = keys(firing_hashes(token_hash.index_select(0, row), expert))
    return Observed(about, keys(token_hash), row, expert, code, code_norms(code, dim=1), key)
