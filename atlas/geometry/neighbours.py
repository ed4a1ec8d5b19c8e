"""Which experts lie near one another: by what they write, by what they read, and by the words around their firings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int32
from torch import Tensor

from atlas.geometry.similarity import Cosine, Nearest, Overlap, Sampled, nearest
from atlas.stages import Ragged

SHOWN_NEIGHBOURS = 20
"""Neighbours kept of each expert."""

CONTEXT_REACH = 5
"""Tokens to each side of a firing that are its context; the firing's own token is not."""

LEAST_FIRINGS = 20
"""Sampled firings below which nothing is said of an expert's contexts."""

PRIOR_TOKENS = 20
"""Tokens' worth of base rate that the lift of a token around firings is smoothed with."""


class Strongest(NamedTuple):
    """The nearest others of each expert, sorted by (expert, rank): the columns of the table `neighbours` but its kind."""

    expert: Int32[np.ndarray, "pair"]
    rank: Int32[np.ndarray, "pair"]
    """From 0, by value, then by expert number."""
    neighbour: Int32[np.ndarray, "pair"]
    value: Float64[np.ndarray, "pair"]
    """Above 0, at most 1, rounded to the decimals that float32 products are good for."""


def output_maps(
    decoder: Float[Tensor, "expert d_code d_in"],
    mean_code: Float[np.ndarray, "expert d_code"],
    code_covariance: Float[np.ndarray, "expert d_code d_code"],
) -> Float[Tensor, "expert d_code d_in"]:
    """Return M^½·D of each expert, M the second moment of its code about zero: mean·meanᵀ + covariance, scaled to at most 1.

    An expert without firings (NaN or zeros), or with a number that is not finite, has a map of zeros.
    """
    told = np.isfinite(mean_code).all(axis=1) & np.isfinite(code_covariance).all(axis=(1, 2))
    mean = np.where(told[:, None], mean_code, 0.0).astype(np.float64)
    moment = mean[:, :, None] * mean[:, None, :] + np.where(told[:, None, None], code_covariance, 0.0)
    # Overlap does not ask how strong a code is, and float32 cannot hold the squares of any.
    most = np.abs(moment).max(axis=(1, 2), keepdims=True)
    moment = np.divide(moment, most, out=np.zeros_like(moment), where=most > 0)
    strength, axes = np.linalg.eigh(moment)
    root = (axes * np.sqrt(np.maximum(strength, 0.0))[:, None, :]) @ axes.transpose(0, 2, 1)
    maps = torch.from_numpy(root.astype(np.float32)).to(decoder.device) @ decoder.float()
    return torch.where(maps.isfinite().all(dim=2).all(dim=1)[:, None, None], maps, 0.0)


def overlaps(maps: Float[Tensor, "expert row d_in"], told: Callable[[int, int], None] = lambda done, of: None) -> Strongest:
    """Return the nearest others by overlap: of `output_maps` for what experts write, of `Smixae.encoder` for what they read.

    Exact, on the device of `maps`; an expert whose map is zeros has none and is none's. `told` hears how many blocks of pairs
    are done, of how many.
    """
    return _strongest(nearest(Overlap(maps), SHOWN_NEIGHBOURS, told))


def context_overlaps(
    windows: Ragged,
    sample: Sampled,
    dense: Bool[np.ndarray, "expert"],
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Strongest:
    """Return the nearest others by the words around their firings; dense experts have none and are none's.

    `windows` are the token ids of the windows of the sample's corpus, row = number of the window.
    """
    return _strongest(nearest(Cosine(_contexts(windows, sample, dense)), SHOWN_NEIGHBOURS, told))


def _contexts(windows: Ragged, sample: Sampled, dense: Bool[np.ndarray, "expert"]) -> Any:
    """Return the weight of each token around each expert's firings as a sparse matrix: √share · ln lift, where lift is above 1.

    Lift is over the contexts of all sampled tokens. Of the weights tried, this one finds an expert's own other half of the
    documents most often.
    """
    from scipy import sparse

    n_experts, n_tokens = len(dense), len(sample.window)
    around = [offset for offset in range(-CONTEXT_REACH, CONTEXT_REACH + 1) if offset]
    at = windows.offsets[sample.window][:, None] + sample.position[:, None] + np.array(around)
    inside = (at >= windows.offsets[sample.window][:, None]) & (at < windows.offsets[sample.window + 1][:, None])
    token = np.nonzero(inside)[0]
    known, word = np.unique(windows.values[at[inside]], return_inverse=True)
    of_token = sparse.csr_matrix((np.ones(len(token)), (token, word)), shape=(n_tokens, len(known)))

    told_of = ~dense & (np.bincount(sample.expert, minlength=n_experts) >= LEAST_FIRINGS)
    fired = told_of[sample.expert]
    of_expert = (np.ones(int(fired.sum())), (sample.expert[fired], sample.token[fired]))
    counted = (sparse.csr_matrix(of_expert, shape=(n_experts, n_tokens)) @ of_token).tocoo()

    base = np.bincount(word, minlength=len(known)) / max(len(word), 1)
    in_all = np.bincount(counted.row, weights=counted.data, minlength=n_experts)
    smoothed = (counted.data + PRIOR_TOKENS * base[counted.col]) / (in_all[counted.row] + PRIOR_TOKENS)
    log_lift = np.log(smoothed / base[counted.col])
    weight = np.sqrt(counted.data / in_all[counted.row]) * np.maximum(log_lift, 0.0)
    lifted = weight > 0
    return sparse.csr_matrix((weight[lifted], (counted.row[lifted], counted.col[lifted])), shape=counted.shape)


def _strongest(found: Nearest) -> Strongest:
    expert, rank = np.nonzero(found.other >= 0)
    return Strongest(
        expert.astype(np.int32),
        rank.astype(np.int32),
        found.other[expert, rank].astype(np.int32),
        found.value[expert, rank].astype(np.float64),
    )
