"""What the statistics of a cloud are where there is nothing to see: those of gated Gaussian clouds, tabulated once and looked up.

At each of a few hundred clouds, the anchors, the gated Gaussian of the same mean and covariance is drawn from and measured as the
cloud was. Any cloud is compared with the draws of the anchors that are most like it in what the null depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer
from numpy.typing import NDArray

from atlas.geometry.cloud import MAX_POINTS, N_GAPS, N_LOOPS, Absent, Cloud, Measured, ShapeConfig, measure
from atlas.geometry.gated import draw, fit
from atlas.geometry.processes import spread

DRAWN = ("loop", "gap", "local_dimension", "bend")
"""Statistics that are compared with draws. Thickness and flatness are those of the covariance, which the draws share."""
NEAREST = 10
"""Anchors that a cloud is compared with: 190 draws."""
LIMIT = 0.95
"""Of the draws do not go beyond the limit."""
SAME_PLACE = 1e-9
"""In units of `features`: so near, a cloud is the anchor."""
NEIGHBOURHOOD = 30
"""Anchors whose draws tell how wrong looking up is about there: 570 draws."""
SMOOTHED = 5
"""Anchors whose spreads are averaged."""
LEAST_WIDTH = 0.1
"""Of the weighting of anchors, in units of `features`, where several stand at one place."""
LEAST_SPREAD = 0.01
"""Of a statistic whose draws are all but the same, so that no hair off them is far out."""
LEAST_TAIL = 10
"""Draws in the highest twentieth from which a tail can be told."""
LEAST_P = 1e-12
"""An exponential tail is no knowledge of what is rarer."""
STRIKING_LOOP, STRIKING_GAP = 3.0, 0.5
"""From which a cloud may be called a ring or clusters."""


class Drawn(NamedTuple):
    """What was measured of draws: axes before the last are those that they are looked up by."""

    statistic: Float64[np.ndarray, "*draw 4"]
    """`DRAWN`, each so that more of it is further from the null: see `distances`."""
    coarse_dimension: Float64[np.ndarray, "*draw"]
    off_plane: Float64[np.ndarray, "*draw"]
    loops: Float64[np.ndarray, "*draw loop"]
    gaps: Float64[np.ndarray, "*draw gap"]


@dataclass(frozen=True)
class Null:
    """The table of draws that clouds are compared with."""

    threshold: float
    place: Float64[np.ndarray, "anchor feature"]
    """Of each anchor, by `features`."""
    drawn: Drawn
    """By anchor and draw."""
    misfit: Float64[np.ndarray, "anchor"]
    """Of the Gaussians: see `gated.Gated`."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it, for a safetensors file."""
        return {
            "threshold": np.array([self.threshold]),
            "place": self.place,
            "misfit": self.misfit,
            **{f"drawn.{name}": value for name, value in self.drawn._asdict().items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Null:
        """Return the table that `arrays` came from."""
        return cls(
            float(arrays["threshold"][0]),
            arrays["place"],
            Drawn(*(arrays[f"drawn.{name}"] for name in Drawn._fields)),
            arrays["misfit"],
        )

    def looked_up(self, place: Float64[np.ndarray, "cloud feature"]) -> Reference:
        """Return what clouds at these places are compared with: an anchor with its own draws, another with those of its nearest.

        Where a gate that cuts a little deeper opens a hole, its neighbours' draws would say nothing about an anchor.
        """
        distance = _distance(place, self.place)
        anchor = distance.argmin(axis=1)
        is_anchor = distance[np.arange(len(place)), anchor] < SAME_PLACE
        own = self._own()
        median, spread = self._blended(distance, own)
        median[is_anchor], spread[is_anchor] = own.median[anchor[is_anchor]], own.spread[anchor[is_anchor]]
        return Reference(anchor, is_anchor, median, spread)

    def _own(self) -> _Centres:
        """Return each anchor's own median, and its spread averaged with those of its neighbours: nineteen draws tell it badly."""
        median, spread = _centre(self.drawn.statistic)
        near = np.argsort(_distance(self.place, self.place), axis=1, kind="stable")[:, :SMOOTHED]
        return _Centres(median, np.maximum(spread, spread[near].mean(axis=1)))

    def _blended(self, distance: Float64[np.ndarray, "cloud anchor"], own: _Centres) -> _Centres:
        """Return means over the nearest anchors, of which the nearer count for much more; those infinitely far for nothing."""
        near = np.argsort(distance, axis=1, kind="stable")[:, : min(NEAREST, int(np.isfinite(distance).sum(axis=1).min()))]
        distance = np.take_along_axis(distance, near, axis=1)
        width = np.maximum(distance[:, min(2, near.shape[1] - 1)] / 2, LEAST_WIDTH)
        # From the nearest on, so that not all are nothing where all are far.
        weight = np.exp(-(np.square(distance) - np.square(distance[:, :1])) / np.square(width[:, None]) / 2)
        weight /= weight.sum(axis=1, keepdims=True)
        return _Centres(np.einsum("cn,cns->cs", weight, own.median[near]), np.einsum("cn,cns->cs", weight, own.spread[near]))

    @cached_property
    def _tail_of_anchors(self) -> Float64[np.ndarray, "draw 4"]:
        """How far all draws lie above the median of their anchor's other draws, in spreads, in rising order."""
        statistic, own = self.drawn.statistic, self._own()
        found = np.empty_like(statistic)
        for i in range(statistic.shape[1]):
            median, spread = _centre(np.delete(statistic, i, axis=1))
            found[:, i] = (statistic[:, i] - median) / np.maximum(spread, own.spread)
        return np.sort(found.reshape(-1, len(DRAWN)), axis=0)

    @cached_property
    def _tails_of_others(self) -> Float64[np.ndarray, "anchor draw 4"]:
        """The same as if anchors were none, by the anchors nearest to them: of each anchor and its neighbours, in rising order.

        By neighbourhood, since it is around gates that open holes, and there alone, that looking up gets much wrong.
        """
        distance, own = _distance(self.place, self.place), self._own()
        near = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURHOOD]
        np.fill_diagonal(distance, np.inf)
        # A single anchor has no others.
        others = self._blended(distance, own) if len(distance) > 1 else own
        found = (self.drawn.statistic - others.median[:, None]) / others.spread[:, None]
        return np.sort(found[near].reshape(len(near), -1, len(DRAWN)), axis=1)

    def limit(self, reference: Reference) -> Float64[np.ndarray, "cloud 4"]:
        """Return what `LIMIT` of the draws do not go beyond."""
        by_anchor, by_others = (
            np.quantile(self._tail_of_anchors, LIMIT, axis=0),
            np.quantile(self._tails_of_others, LIMIT, axis=1),
        )
        far = np.where(reference.is_anchor[:, None], by_anchor, by_others[reference.anchor])
        return reference.median + reference.spread * far

    def p(self, statistic: Float64[np.ndarray, "cloud 4"], reference: Reference) -> Float64[np.ndarray, "cloud 4"]:
        """Return what share of the draws of anchors lies as many spreads above the median, each judged as a new cloud would be.

        An anchor's cloud is judged with the draws of all anchors, by the other draws of each; a cloud that is none with those of
        its anchor's neighbourhood, each as if its anchor were none. So what nineteen draws leave uncertain, and what looking up
        gets wrong, is in p.

        Beyond their highest twentieth the share falls exponentially, by their mean excess and twice its error: a source of
        thousands of experts asks for p far below one over the number of draws (Knijnenburg et al. 2009, with shape 0).
        """
        found = (statistic - reference.median) / reference.spread
        p = _share_beyond(self._tail_of_anchors, found)
        looking = np.flatnonzero(~reference.is_anchor)
        for anchor in np.unique(reference.anchor[looking]).tolist():
            rows = looking[reference.anchor[looking] == anchor]
            p[rows] = _share_beyond(self._tails_of_others[anchor], found[rows])
        return p


class Reference(NamedTuple):
    """What clouds are compared with."""

    anchor: Integer[np.ndarray, "cloud"]
    """The anchor that is most like each."""
    is_anchor: Bool[np.ndarray, "cloud"]
    """Whether it is that anchor itself."""
    median: Float64[np.ndarray, "cloud 4"]
    spread: Float64[np.ndarray, "cloud 4"]
    """Above the median."""


class _Centres(NamedTuple):
    median: Float64[np.ndarray, "place 4"]
    spread: Float64[np.ndarray, "place 4"]


def _centre(statistic: Float64[np.ndarray, "anchor draw 4"]) -> _Centres:
    # Rank 0.9 of nineteen draws is about the most that they tell of an upper tail.
    median, upper = np.quantile(statistic, [0.5, 0.9], axis=1)
    return _Centres(median, np.maximum(upper - median, LEAST_SPREAD))


def _share_beyond(tail: Float64[np.ndarray, "draw 4"], found: Float64[np.ndarray, "cloud 4"]) -> Float64[np.ndarray, "cloud 4"]:
    p = np.empty_like(found)
    for column, (ordered, values) in enumerate(zip(tail.T, found.T, strict=True)):
        beyond = len(ordered) - np.searchsorted(ordered, values - 1e-9)
        p[:, column] = (1 + beyond) / (1 + len(ordered))
        highest = ordered[-max(len(ordered) // 20, 1) :]
        excess = (highest.mean() - highest[0]) * (1 + 2 / np.sqrt(len(highest)))
        far = values > highest[0]
        if len(highest) >= LEAST_TAIL and excess > 0:
            share = len(highest) / len(ordered) * np.exp(-(values[far] - highest[0]) / excess)
            p[far, column] = np.maximum(share, LEAST_P)
    return p


def _distance(
    first: Float64[np.ndarray, "cloud feature"], second: Float64[np.ndarray, "anchor feature"]
) -> Float64[np.ndarray, "cloud anchor"]:
    """Return the distance of each from each."""
    from scipy.spatial.distance import cdist

    return cdist(first, second)


def tabulate(
    measured: Sequence[Measured | Absent], threshold: float, config: ShapeConfig, workers: int, told: Callable[[int, int], None]
) -> Null:
    """Return the null for clouds like these, the same for any number of `workers`; the clouds themselves are not needed.

    Clouds that are `Absent` are passed over. `told` hears how many of how many anchors are done.
    """
    clouds = [cloud for cloud in measured if isinstance(cloud, Measured)]
    place = features(clouds, threshold)
    anchors = _anchors(clouds, place, config.anchors)
    n_draws = max(config.draws, -(-config.least_draws // max(len(anchors), 1)))
    rows = spread(
        partial(_at_anchor, threshold=threshold, n_draws=n_draws, config=config),
        [(i, clouds[i]) for i in anchors.tolist()],
        workers,
        told,
    )
    return Null(
        threshold=float(threshold),
        place=place[anchors],
        drawn=Drawn(
            np.array([row.statistic for row, _ in rows]).reshape(len(rows), n_draws, len(DRAWN)),
            np.array([row.coarse_dimension for row, _ in rows]).reshape(len(rows), n_draws),
            np.array([row.off_plane for row, _ in rows]).reshape(len(rows), n_draws),
            np.array([row.loops for row, _ in rows]).reshape(len(rows), n_draws, N_LOOPS),
            np.array([row.gaps for row, _ in rows]).reshape(len(rows), n_draws, N_GAPS),
        ),
        misfit=np.array([misfit for _, misfit in rows], dtype=np.float64),
    )


def features(clouds: Sequence[Measured], threshold: float) -> Float64[np.ndarray, "cloud feature"]:
    """Return what the null of each cloud depends on, in units that make a difference of 1 matter about equally.

    How many points; how long and how flat its covariance is; how curved the gate is at its scale, how far round the gate it goes,
    how close to the gate it lies.
    """
    place = np.empty((len(clouds), 6))
    for row, cloud in zip(place, clouds, strict=True):
        axes = np.sqrt(np.pad(cloud.spectrum, (0, 2))[:3])
        ratios = np.log(np.clip(axes[1:] / np.maximum(axes[:-1], 1e-12), 0.03, 1))
        spread = np.sqrt(np.trace(cloud.covariance))
        offset = np.linalg.norm(cloud.mean)
        curved = np.log(np.clip(spread / threshold if threshold > 0 else np.inf, 0.03, 10))
        surrounded = np.clip(offset / spread, 0, 2)
        close = np.clip((np.hypot(offset, spread) - threshold) / spread, 0, 1.5)
        row[:] = [np.log(min(cloud.points, MAX_POINTS)), *ratios, curved, 1.5 * surrounded, 2 * close]
    return place


def _anchors(
    clouds: Sequence[Measured], place: Float64[np.ndarray, "cloud feature"], limit: int
) -> Integer[np.ndarray, "anchor"]:
    """Return which clouds are anchors: of those that may be a ring or clusters three quarters of the limit, of others one.

    Both are spread over all places. Where a gate that cuts a little deeper opens a hole, a claim of a hole had best rest on its
    own draws.
    """
    striking = np.array([cloud.loops[0] >= STRIKING_LOOP or cloud.gaps[0] >= STRIKING_GAP for cloud in clouds], dtype=bool)
    some = np.flatnonzero(striking)
    chosen = some[spread_out(place[some], max(limit * 3 // 4, 1))]
    others = np.setdiff1d(np.arange(len(clouds)), chosen)
    return np.concatenate([chosen, others[spread_out(place[others], max(limit // 4, 1))]])


def spread_out(place: Float64[np.ndarray, "cloud feature"], limit: int) -> Integer[np.ndarray, "anchor"]:
    """Return up to `limit` rows, each the farthest from those before; the first is the one nearest the middle."""
    if not len(place):
        return np.zeros(0, dtype=np.int64)
    chosen = [int(np.square(place - place.mean(axis=0)).sum(axis=1).argmin())]
    nearest = np.square(place - place[chosen[0]]).sum(axis=1)
    while len(chosen) < min(limit, len(place)):
        nearest[chosen[-1]] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(place - place[chosen[-1]]).sum(axis=1))
    return np.array(chosen)


def distances(measured: Sequence[Measured]) -> Float64[np.ndarray, "cloud 4"]:
    """Return the statistics of `DRAWN`, each so that more of it is further from the null and its spread is about even."""
    return np.array(
        [
            [
                np.log(max(cloud.loops[0], 1.0)),
                np.log(cloud.gaps[0] + 0.2),
                -np.log(max(cloud.local_dimension, 0.5)),
                np.nan_to_num(cloud.bend),
            ]
            for cloud in measured
        ]
    ).reshape(len(measured), len(DRAWN))


def undone(distance: Float[np.ndarray, "4"]) -> tuple[float, float, float, float]:
    """Return the statistics that have these `distances`."""
    loop, gap, local_dimension, bend = (float(value) for value in distance)
    return float(np.exp(loop)), float(np.exp(gap) - 0.2), float(np.exp(-local_dimension)), bend


def _at_anchor(anchor: tuple[int, Measured], threshold: float, n_draws: int, config: ShapeConfig) -> tuple[Drawn, float]:
    """Return what is measured of draws from the gated Gaussian that is like the cloud, and its misfit."""
    number, cloud = anchor
    gated = fit(cloud.mean, cloud.covariance, threshold, config.seed)
    rng = np.random.default_rng([config.seed, number])
    n = min(cloud.points, MAX_POINTS)
    found: list[Measured] = []
    while len(found) < n_draws:
        one = measure(Cloud(draw(gated, n, rng), cloud.basis), config)
        assert isinstance(one, Measured), "a Gaussian like a cloud with an extent has one"
        found.append(one)
    drawn = Drawn(
        distances(found),
        np.array([one.coarse_dimension for one in found]),
        np.array([one.off_plane for one in found]),
        np.stack([one.loops for one in found]),
        np.stack([one.gaps for one in found]),
    )
    return drawn, gated.misfit
