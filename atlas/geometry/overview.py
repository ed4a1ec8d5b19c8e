"""The map of all experts: like lie together, clusters have names, and it says how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Integer
from torch import Tensor

from atlas.errors import ConfigError
from atlas.geometry.layout import Quality, layout, one_thread, quality
from atlas.geometry.similarity import Cosine, Mix, Overlap, Sampled, nearest
from atlas.stages import Column

LEAST_CLUSTER = 5
"""Experts that make a cluster at least."""

CLOSE = 2
"""Neighbours whose distance says how dense the map is around an expert."""

CLUSTER_SHARE = 200
"""On larger maps, one in so many of the experts."""

MOST_CLUSTERS = 60
"""Names that a reader can take in; the least size grows until there are no more."""

NAMED_TOKENS = 3
"""Tokens that a cluster's name names."""

NAME_RULE = (
    "The labelled task that the titles of at least half of its experts name; "
    "else its three most lifted tokens: share times the logarithm of lift, added up over its experts."
)


@dataclass(frozen=True)
class OverviewConfig:
    """How the map is drawn."""

    output_share: float = 0.75
    """Weight of output overlap in the similarity; the rest is firing together."""
    drawn_by: int = 45
    """Nearest others that an expert is laid out by."""
    neighbours: int = 15
    """Nearest others that the layout is judged by."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.output_share <= 1:
            raise ConfigError(f"output_share is {self.output_share}; it is a share, from 0 to 1.")
        if self.drawn_by < 5:
            raise ConfigError(f"drawn_by is {self.drawn_by}; a layout takes at least 5 nearest others.")
        if self.neighbours < 1:
            raise ConfigError(f"neighbours is {self.neighbours}; a layout is judged by at least 1.")


class Words(NamedTuple):
    """The columns of expert_tokens of the first corpus, with each token's text."""

    expert: Integer[np.ndarray, "row"]
    text: Sequence[str]
    share: Float[np.ndarray, "row"]
    lift: Float[np.ndarray, "row"]


class Cluster(NamedTuple):
    """A part of the map where experts lie close."""

    name: str
    """'Months', or its most lifted tokens."""
    basis: str
    """'title' or 'tokens'."""
    experts: int
    named: int
    """Of them, how many the name holds for: with this title's task, or with a lift above 1 on one of these tokens."""
    x: float
    """Median of its experts, and so is `y`."""
    y: float


class Overview(NamedTuple):
    """The map: the experts on it, in order, and its clusters."""

    expert: Int32[np.ndarray, "placed"]
    x: Float32[np.ndarray, "placed"]
    """Centred; the root mean square distance from the middle is 1."""
    y: Float32[np.ndarray, "placed"]
    cluster: Int32[np.ndarray, "placed"]
    """Index into `clusters`; -1 where it belongs to none."""
    clusters: Sequence[Cluster]
    """The largest first."""
    quality: Quality | None
    """None where there are too few experts to tell."""
    left_out: int
    """Experts that are near nothing."""
    config: OverviewConfig

    def tables(self) -> dict[str, dict[str, Column]]:
        """Return the rows of `overview` and `overview_clusters`, as a stage writes them."""
        columns = list(zip(*self.clusters, strict=True)) if self.clusters else [()] * len(Cluster._fields)
        of = dict(zip(Cluster._fields, columns, strict=True))
        return {
            "overview": {
                "expert": self.expert,
                "x": self.x,
                "y": self.y,
                "cluster": np.where(self.cluster < 0, np.nan, self.cluster),
            },
            "overview_clusters": {
                "cluster": np.arange(len(self.clusters), dtype=np.int32),
                "name": list(of["name"]),
                "basis": list(of["basis"]),
                "experts": np.array(of["experts"], dtype=np.int32),
                "named": np.array(of["named"], dtype=np.int32),
                "x": np.array(of["x"], dtype=np.float32),
                "y": np.array(of["y"], dtype=np.float32),
            },
        }

    def provenance(self) -> dict[str, Any]:
        """Return what provenance says of the map.

        `neighbours`, `trustworthiness`, `continuity` and `by_chance`, what either of them is on average of shuffled places, are
        None where there are too few experts to tell.
        """
        judged = self.quality
        return {
            "mix": _mix_said(self.config.output_share),
            "drawn_by": self.config.drawn_by,
            "neighbours": judged.k if judged else None,
            "trustworthiness": judged.trustworthiness if judged else None,
            "continuity": judged.continuity if judged else None,
            "by_chance": judged.by_chance if judged else None,
            "experts": len(self.expert),
            "left_out": self.left_out,
            "cluster_name_rule": NAME_RULE,
        }


def overview(
    maps: Float[Tensor, "expert row d_in"],
    sample: Sampled,
    dense: Bool[np.ndarray, "expert"],
    titles: Sequence[tuple[str, str | None]],
    words: Words,
    config: OverviewConfig,
) -> Overview:
    """Return the map of all experts that are near another: the same to the bit for any number of threads.

    `maps` are `output_maps`; `titles` are, of each expert, the basis and the title of the task that it names, if any.
    """
    alike = similarity(maps, sample, dense, config)
    graph = nearest(alike, config.drawn_by)
    placed = np.flatnonzero(graph.value[:, 0] > 0)
    place = layout(graph.only(placed), config.seed)
    # What is written is what is judged.
    place = place.astype(np.float32).astype(np.float64)
    member = clusters(place)
    named = [_named(placed[member == one], place[member == one], titles, words) for one in range(member.max(initial=-1) + 1)]
    return Overview(
        placed.astype(np.int32),
        place[:, 0].astype(np.float32),
        place[:, 1].astype(np.float32),
        member,
        named,
        quality(alike.only(placed), place, config.neighbours),
        len(dense) - len(placed),
        config,
    )


def similarity(
    maps: Float[Tensor, "expert row d_in"], sample: Sampled, dense: Bool[np.ndarray, "expert"], config: OverviewConfig
) -> Mix:
    """Return what the map is made of: output overlap, and n_ij/√(n_i·n_j) of the sampled tokens that experts fire on.

    Dense experts fire with none.
    """
    from scipy import sparse

    wanted = ~dense[sample.expert]
    entries = (np.ones(int(wanted.sum())), (sample.expert[wanted], sample.token[wanted]))
    fired = sparse.csr_matrix(entries, shape=(len(dense), len(sample.window)))
    return Mix(Overlap(maps), Cosine(fired), config.output_share)


def clusters(place: Float64[np.ndarray, "placed 2"]) -> Int32[np.ndarray, "placed"]:
    """Return each point's cluster, the largest first, or -1: where points of a layout lie close (HDBSCAN)."""
    least = max(LEAST_CLUSTER, len(place) // CLUSTER_SHARE)
    if len(place) < 2 * least:
        return np.full(len(place), -1, dtype=np.int32)

    from sklearn.cluster import HDBSCAN

    with one_thread():
        while True:
            # Leaves of the tree: its widest branches are, now and then, nearly the whole map.
            found = HDBSCAN(min_cluster_size=least, min_samples=CLOSE, cluster_selection_method="leaf", copy=True)
            member = found.fit_predict(place)
            if member.max() < MOST_CLUSTERS:
                break
            least = least * 3 // 2
    sizes = np.bincount(member[member >= 0], minlength=member.max() + 1)
    order = np.argsort(-sizes, kind="stable")
    renumbered = np.full(len(order) + 1, -1, dtype=np.int32)
    renumbered[order] = np.arange(len(order), dtype=np.int32)
    # The last entry, which -1 points at, stays -1.
    return renumbered[member]


def _named(
    experts: Integer[np.ndarray, "member"],
    place: Float64[np.ndarray, "member 2"],
    titles: Sequence[tuple[str, str | None]],
    words: Words,
) -> Cluster:
    x, y = np.median(place, axis=0)
    tasks = [title for basis, title in (titles[one] for one in experts) if basis in ("order", "task") and title is not None]
    common = max(sorted(set(tasks)), key=tasks.count, default=None)
    if common is not None and 2 * tasks.count(common) >= len(experts):
        return Cluster(common, "title", len(experts), tasks.count(common), float(x), float(y))
    weight: dict[str, float] = {}
    who: dict[str, set[int]] = {}
    for row in np.flatnonzero(np.isin(words.expert, experts) & (words.lift > 1)).tolist():
        # As in a title: a token is a name to the reader, so it stands without its leading space.
        word = words.text[row].strip() or words.text[row]
        weight[word] = weight.get(word, 0.0) + float(words.share[row] * np.log(words.lift[row]))
        who.setdefault(word, set()).add(int(words.expert[row]))
    chosen = sorted(weight, key=lambda word: (-weight[word], word))[:NAMED_TOKENS]
    named = set[int]().union(*(who[word] for word in chosen))
    name = " ".join(f"“{word}”" for word in chosen) or "No token stands out"
    return Cluster(name, "tokens", len(experts), len(named), float(x), float(y))


def _mix_said(output_share: float) -> str:
    return (
        f"{output_share:.0%} output overlap, {1 - output_share:.0%} firing together on the token sample "
        "(tokens on which both fire over the geometric mean of those on which either does; 0 for dense experts)"
    )
