"""Points in a plane of which those lie together that are alike, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64

from atlas.geometry.similarity import Nearest, Similarity

SPECTRAL_STEPS = 200
"""Steps of power iteration that a layout begins from: enough to tell the large parts apart, which is all it is for."""

TSNE_START = 1e-4
"""Spread of that beginning, small as t-SNE wants it."""

LEAST_TSNE = 5
"""Points below which there is nothing to optimise: they stand on a circle."""


BLOCK_PAIRS = 2**22
"""Pairs whose similarity and distance are held at once, of a hundred bytes or so each."""

LAST = np.iinfo(np.int64).min
"""Ranks behind every other."""


class Quality(NamedTuple):
    """How the k nearest by similarity and the k nearest in the plane go together (Venna & Kaski 2001)."""

    k: int
    """As asked for, or as many as so few points allow: fewer than half of them."""
    trustworthiness: float
    """1 if those near a point in the plane are its nearest by similarity; falls with the rank of intruders."""
    continuity: float
    """1 if a point's nearest by similarity are near it in the plane."""
    by_chance: float
    """What either is on average if the points are shuffled in the plane."""


def layout(graph: Nearest, seed: int) -> Float64[np.ndarray, "expert 2"]:
    """Return a place in the plane for each point of a graph of nearest others: t-SNE from a spectral beginning.

    The same to the bit for any number of threads; centred, of root mean square distance 1 from the middle.
    """
    n = len(graph.other)
    if n < LEAST_TSNE:
        angle = 2 * np.pi * np.arange(n) / max(n, 1)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) if n > 1 else np.zeros((n, 2))

    from sklearn.manifold import TSNE

    distance = _distances(graph)
    k = graph.other.shape[1]
    with one_thread():
        found = TSNE(
            # It takes three times as many neighbours and one; where these are all others, any number below theirs will do.
            perplexity=k / 2 if k == n - 1 else (k - 1) / 3,
            metric="precomputed",
            init=_beginning(graph, seed),
            random_state=seed % 2**32,
        ).fit_transform(distance)
    place = found.astype(np.float64)
    place -= place.mean(axis=0)
    return place / np.sqrt(np.square(place).sum(axis=1).mean())


def quality(similarity: Similarity, place: Float64[np.ndarray, "expert 2"], k: int) -> Quality | None:
    """Return how far a layout keeps the nearest together, exactly; None for fewer than three points, where nothing can be told.

    Equals rank by number. Time goes with the square of the number of points, memory with the number.
    """
    n = len(place)
    k = min(k, (n - 1) // 2)
    if k < 1:
        return None
    step = max(1, BLOCK_PAIRS // n)
    intruded = missed = 0
    for first in range(0, n, step):
        rows = slice(first, min(first + step, n))
        itself = (np.arange(rows.stop - first), np.arange(first, rows.stop))
        alike = _order(similarity.block(rows, slice(0, n)).double().cpu().numpy())
        apart = np.square(place[rows, None, 0] - place[None, :, 0]) + np.square(place[rows, None, 1] - place[None, :, 1])
        near = _order(apart, ascending=True)
        alike[itself] = near[itself] = LAST
        intruded += _beyond(alike, _first(near, k), k)
        missed += _beyond(near, _first(alike, k), k)
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    others = n - 1 - k
    return Quality(k, 1 - scale * intruded, 1 - scale * missed, 1 - others * (others + 1) / ((n - 1) * (2 * n - 3 * k - 1)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold numerical libraries to one thread: sums over threads depend on their number."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def _distances(graph: Nearest) -> Any:
    """Return the graph as a sparse matrix of distances, each row from itself outward."""
    from scipy import sparse

    n, k = graph.other.shape
    itself = np.arange(n)
    other, value = graph.other.copy(), graph.value
    for row in np.flatnonzero((other < 0).any(axis=1)).tolist():
        # Every row needs k others. Who has fewer that it is like is given the first by number, as far away as can be.
        known = {row, *other[row].tolist()}
        spare = (one for one in range(n) if one not in known)
        other[row] = [next(spare) if one < 0 else one for one in other[row].tolist()]
    # Squared, a distance is 1 - similarity. A sparse matrix may drop what is 0.
    distance = np.sqrt(np.maximum(1 - value, 1e-12))
    indices = np.concatenate([itself[:, None], other], axis=1).ravel()
    data = np.concatenate([np.zeros((n, 1)), distance], axis=1).ravel()
    return sparse.csr_matrix((data, indices, np.arange(n + 1) * (k + 1)), shape=(n, n))


def _beginning(graph: Nearest, seed: int) -> Float[np.ndarray, "expert 2"]:
    """Return the two slowest ways in which a random walk on the graph forgets where it began."""
    from scipy import sparse

    n, k = graph.other.shape
    there = graph.other >= 0
    row = np.repeat(np.arange(n), k)[there.ravel()]
    near = sparse.csr_matrix((graph.value[there], (row, graph.other[there])), shape=(n, n))
    near = near + near.T
    root = np.sqrt(np.asarray(near.sum(axis=1)).ravel())
    inverse = sparse.diags(1 / root)
    walk = inverse @ near @ inverse
    still = root / np.linalg.norm(root)
    ways = np.random.default_rng(seed).standard_normal((n, 2))
    for _ in range(SPECTRAL_STEPS):
        ways = (ways + walk @ ways) / 2
        ways -= still[:, None] * (still @ ways)
        ways = np.linalg.qr(ways)[0]
    place = ways / root[:, None]
    # An axis points where its far end is.
    far = place[np.abs(place).argmax(axis=0), [0, 1]]
    place = place * np.where(far < 0, -1.0, 1.0)
    return (TSNE_START * place / place.std(axis=0)).astype(np.float32)


def _order(values: Float64[np.ndarray, "row expert"], ascending: bool = False) -> Int64[np.ndarray, "row expert"]:
    """Return whole numbers that rank as non-negative values do, no two of a row alike: of equals, the smaller number is first.

    Bits of a float above 0 rank as it does. The last ones make room for the number: of a float32 they are 0, and of a squared
    distance they say nothing.
    """
    n = values.shape[1]
    room = (n - 1).bit_length()
    bits = values.view(np.int64) >> room << room
    number = np.arange(n)
    return -(bits | number) if ascending else bits | (2**room - 1 - number)


def _first(order: Int64[np.ndarray, "row expert"], k: int) -> Int64[np.ndarray, "row k"]:
    """Return which are the k largest of each row."""
    return torch.from_numpy(order).topk(k, dim=1).indices.numpy()


def _beyond(order: Int64[np.ndarray, "row expert"], others: Int64[np.ndarray, "row k"], k: int) -> int:
    """Return by how much the ranks of `others` go beyond k, added up; the largest has rank 1."""
    total = 0
    for one in others.T:
        # numpy counts where two arrays compare ten times as fast as torch does.
        above = np.count_nonzero(order > np.take_along_axis(order, one[:, None], axis=1), axis=1)
        total += int(np.maximum(above + 1 - k, 0).sum())
    return total
