"""Which experts fire on the same tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from atlas.harvest.co_firing import CoFiring
from atlas.harvest.parts import Arrays
from atlas.stages import Column

SHOWN_NEIGHBOURS = 20
"""Neighbours written per expert."""

PRIOR_TOKENS = 5.0
"""Tokens' worth of independence, in the cell in which both fire, that log-odds are held back by."""

LEAST_TOKENS = 2
"""Tokens on which two experts must fire together to be neighbours: one is chance."""


def co_firing(counted: CoFiring, totals: Arrays, sample: Arrays, dense: Bool[np.ndarray, "expert"]) -> dict[str, Column]:
    """Return each expert's strongest neighbours by log-odds of firing together; dense experts have none and are none.

    Where pairs are not counted over the corpus they are counted on the token sample.
    """
    n_experts = len(dense)
    if counted.is_exact:
        firings, n_tokens = totals["firings"], int(totals["tokens"][0])
    else:
        firings, n_tokens = np.bincount(sample["expert"], minlength=n_experts), len(sample["key"])
        by_expert = np.argsort(sample["expert"], kind="stable")
        token_of, starts = sample["token"][by_expert], np.searchsorted(sample["expert"][by_expert], np.arange(n_experts + 1))
        first_of = np.searchsorted(sample["token"], np.arange(n_tokens + 1))
    found: list[tuple[NDArray[Any], ...]] = []
    odds: list[NDArray[Any]] = []
    for expert in np.flatnonzero(~dense & (firings > 0)).tolist():
        if counted.is_exact:
            together = counted.of(expert).cpu().numpy()
        else:
            tokens = token_of[starts[expert] : starts[expert + 1]]
            others = np.concatenate([sample["expert"][first_of[token] : first_of[token + 1]] for token in tokens])
            together = np.bincount(others, minlength=n_experts)
            together[expert] = 0
        others = np.flatnonzero((together >= LEAST_TOKENS) & ~dense)
        strength = log_odds(together[others], firings[expert], firings[others], n_tokens)
        best = np.lexsort((others, -strength))[:SHOWN_NEIGHBOURS]
        n = len(best)
        found.append((np.full(n, expert), np.arange(n), others[best], together[others[best]]))
        odds.append(strength[best])
    expert_, rank, neighbour, tokens_ = (np.concatenate([np.zeros(0, dtype=np.int64), *parts]) for parts in _columns(found))
    return {
        "expert": expert_.astype(np.int32),
        "rank": rank.astype(np.int32),
        "neighbour": neighbour.astype(np.int32),
        "tokens": tokens_,
        "log_odds": np.concatenate([np.zeros(0), *odds]),
    }


def log_odds(
    together: Int64[np.ndarray, "other"], of_one: int | np.integer, of_other: Int64[np.ndarray, "other"], tokens: int
) -> Float[np.ndarray, "other"]:
    """Return the log odds ratio of two experts' firing, 0 where they are independent, held back where little is known.

    To the four cells of the table is added what `PRIOR_TOKENS` tokens in the cell "both" would bring if the two, with their own
    rates, were independent. A single chance meeting of two rare experts, whose plain ratio is enormous, says little then.
    """
    # An expert that fires on every token of a small sample would leave nothing to compare with.
    p, q = (np.minimum(n / tokens, 1 - 0.5 / tokens) for n in (of_one, of_other))
    cells = [together, of_one - together, of_other - together, tokens - of_one - of_other + together]
    prior = [np.ones(len(q)), (1 - q) / q, np.full(len(q), (1 - p) / p), (1 - p) * (1 - q) / (p * q)]
    both, only, other, neither = (cell + PRIOR_TOKENS * part for cell, part in zip(cells, prior, strict=True))
    return np.log(both) + np.log(neither) - np.log(only) - np.log(other)


def _columns(found: list[tuple[NDArray[Any], ...]]) -> list[list[NDArray[Any]]]:
    return [[part[column] for part in found] for column in range(4)]
