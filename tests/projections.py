"""What is left of an expert's importance with some of its axes only, by rebuilding every row: slow, plain, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.dictionary import Smixae

Array = NDArray[np.float64]


def spared(smixae: Smixae, x: Any, expert: int) -> tuple[float, Array]:
    """How much less the squared error of all rows is with an expert than without it, and with its mean and 0, 1, … axes."""
    rows, codes = np.asarray(x.double().numpy()), np.asarray(smixae.encode(x).double().numpy())
    decoder, bias = np.asarray(smixae.decoder.double().numpy()), np.asarray(smixae.bias.double().numpy())
    scale = np.asarray(smixae.row_scale(x).double().numpy())[:, None]
    shift = np.asarray(smixae.normalisation.shift(x.float()).double().numpy())[:, None]
    others = sum((codes[:, i] @ decoder[i] for i in range(smixae.n_experts) if i != expert), bias)
    fires = codes[:, expert].any(axis=1)

    def error(contribution: Array) -> float:
        return float(((rows - (others + contribution) * scale - shift) ** 2).sum())

    contribution = codes[:, expert] @ decoder[expert]
    without = error(np.zeros_like(contribution))
    own, weight = contribution[fires], scale[fires] ** 2
    mean = (own * weight).sum(axis=0) / weight.sum()
    axes = np.linalg.svd((own - mean) * np.sqrt(weight), full_matrices=False)[2]
    found = []
    for rank in range(smixae.d_code + 1):
        some = np.zeros_like(contribution)
        some[fires] = mean + (own - mean) @ axes[:rank].T @ axes[:rank]
        found.append(without - error(some))
    return without - error(contribution), np.array(found)
