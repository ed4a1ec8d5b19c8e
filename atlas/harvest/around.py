"""How strongly an expert fires on the tokens around one of its firings."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from atlas.harvest.observed import Observed

CONTEXT_TOKENS = 12
"""Tokens to each side of a firing that a context shows."""

_APART = 2**20
"""Two places in different windows, or of different experts, are farther apart than any window is long."""


def around(seen: Observed, chosen: Int64[Tensor, "chosen"], n_experts: int) -> Int64[Tensor, "chosen"]:
    """Return the levels of the 12 tokens before and the 12 after some firings of a batch, two bits each, the first one lowest.

    A level is 0 where the expert is silent, and beyond the window; else 1 where its norm is below half of that of the firing in
    the middle, 2 where it is below it, 3 where it is not.
    """
    windows = seen.windows()
    n_windows = int(windows[-1]) + 1
    owner = seen.expert * n_windows + windows.index_select(0, seen.row)
    # Only of an expert's windows with a chosen firing: sorting all firings would cost more than the rest.
    has_chosen = torch.zeros(n_experts * n_windows, dtype=torch.bool, device=chosen.device)
    has_chosen[owner.index_select(0, chosen)] = True
    own = has_chosen.index_select(0, owner).nonzero()[:, 0]
    own = own.index_select(0, torch.sort(owner.index_select(0, own), stable=True).indices)
    at = torch.empty_like(owner)
    at[own] = torch.arange(1, len(own) + 1, device=at.device)
    at = at.index_select(0, chosen)

    # A firing's neighbours in this order are its expert's next ones in the text; none is near the two ends.
    position = seen.tokens.position.index_select(0, seen.row.index_select(0, own))
    place = torch.nn.functional.pad(owner.index_select(0, own) * _APART + position, (1, 1), value=-_APART)
    norm = torch.nn.functional.pad(seen.norm.index_select(0, own), (1, 1))

    levels = torch.zeros_like(chosen)
    for step in (-1, 1):
        left, middle, there = torch.arange(len(chosen), device=chosen.device), at, at
        for _ in range(CONTEXT_TOKENS):
            there = there + step
            apart = place.index_select(0, there) - place.index_select(0, middle)
            near = (apart.abs() <= CONTEXT_TOKENS).nonzero()[:, 0]
            if not len(near):
                break
            left, middle, there, apart = (column.index_select(0, near) for column in (left, middle, there, apart))
            strength, of_middle = norm.index_select(0, there), norm.index_select(0, middle)
            level = 1 + (strength >= of_middle / 2).long() + (strength >= of_middle)
            # The middle has no place of its own among the 24.
            slot = apart + CONTEXT_TOKENS - (apart > 0).long()
            levels[left] += level << 2 * slot
    return levels


def unpacked(levels: Int64[np.ndarray, "firing"]) -> UInt8[np.ndarray, "firing place"]:
    """Return the 24 levels of each firing, from the first token before it to the last one after it."""
    return (levels[:, None] >> 2 * np.arange(2 * CONTEXT_TOKENS) & 3).astype(np.uint8)
