"""Where clouds come from: every corpus, and every labelled task for the experts that fire on at least half of its labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64

from atlas.geometry.shape import Cloud
from atlas.stages import Column, Finished, Ragged

PER_TOKEN = 1
"""Most points of a corpus' cloud that are on one token. Firings on one token lie together: with five of each, a quarter of the
demo's experts were clusters and a quarter sheets of single tokens; with one, points are as independent as the null takes them."""

TASK_POINTS = 1000
"""Most points of a labelled task's cloud."""

COVERED_RATE = 0.5
"""P(fires | label) from which an expert counts as firing on the label."""

MANY_LABELS = 50
"""From so many labels on, a labelled task's cloud has one point of each, as a corpus' has one of each token."""

COVERED_SHARE = 0.5
"""Share of a task's labels that an expert has to fire on to have a cloud of the task."""


class Source(NamedTuple):
    """A task, and the clouds of the experts that have one there."""

    task: int
    """Its number in the atlas: corpora come first."""
    name: str
    title: str
    is_corpus: bool
    unit: str
    """What a cloud has at most one point of: 'token', 'label'; '' where it has many of one label."""
    expert: Int64[np.ndarray, "cloud"]
    """Whose clouds they are, ascending."""
    offsets: Int64[np.ndarray, "boundary"]
    """Cloud i has the points from `offsets[i]` to `offsets[i + 1]`."""
    code: Float32[np.ndarray, "point d_code"]

    def points(self) -> Int64[np.ndarray, "cloud"]:
        """Return how many points each cloud has."""
        return np.diff(self.offsets)

    def clouds(self, basis: Float[np.ndarray, "expert d_code axis"], chosen: Iterable[int] | None = None) -> list[Cloud]:
        """Return clouds, all of them unless some are chosen; `basis` maps the codes of each expert to its axes."""
        return [
            Cloud(
                self.code[self.offsets[i] : self.offsets[i + 1]].astype(np.float64),
                basis[self.expert[i]].astype(np.float64),
                clumped=not self.unit,
            )
            for i in (range(len(self.expert)) if chosen is None else chosen)
        ]


def sources(harvested: Finished, probed: Finished, seed: int) -> list[Source]:
    """Return every corpus and then every labelled task, in the order of their numbers.

    A cloud of a corpus is the expert's sampled firings, at most `PER_TOKEN` on one token, the first ones in the order of the hash
    that the sample was chosen by. One of a labelled task is every firing at a probed token, at most `TASK_POINTS`; where the task
    has `MANY_LABELS`, one of each label: `seed` chooses. An expert that never fires there has no cloud.
    """
    corpora = [_corpus(harvested, task) for task in range(len(harvested.tables["tasks"]["name"]))]
    numbers = _array(probed.tables["tasks"], "task").tolist()
    shift = len(corpora) - 1
    return [*corpora, *(_labelled(probed, task, task + shift, seed) for task in numbers)]


def _corpus(harvested: Finished, task: int) -> Source:
    """Return a corpus as a source. Points stand in the order of experts, and of one in the order of the hash."""
    at = _rows_of(harvested.tables["points"], task)
    expert = _array(harvested.tables["points"], "expert")[at].astype(np.int64)
    token = _tokens(harvested, task, at)
    kept = _ranks(expert * (token.max(initial=0) + 1) + token) < PER_TOKEN
    return _source(harvested, task, task, "token", at[kept], expert[kept])


def _labelled(probed: Finished, task: int, number: int, seed: int) -> Source:
    at = _rows_of(probed.tables["points"], task)
    expert = _array(probed.tables["points"], "expert")[at].astype(np.int64)
    has_cloud = np.isin(expert, covering(probed, task))
    at, expert = at[has_cloud], expert[has_cloud]
    label = _array(probed.tables["points"], "label")[at].astype(np.int64)
    n_labels = np.count_nonzero(_array(probed.tables["labels"], "task") == task)
    order = _shuffled(expert, f"{seed} {_name(probed, task)}")
    if n_labels >= MANY_LABELS:
        chosen = order[_ranks((expert * n_labels + label)[order]) == 0]
    else:
        chosen = order[_ranks(expert[order]) < TASK_POINTS]
    chosen = np.sort(chosen)
    return _source(probed, task, number, "label" if n_labels >= MANY_LABELS else "", at[chosen], expert[chosen])


def _shuffled(expert: Int64[np.ndarray, "point"], salt: str) -> Int64[np.ndarray, "point"]:
    """Return the points in an order by chance that is each expert's own, whichever other experts and tasks there are."""
    order = np.arange(len(expert))
    for one in np.unique(expert).tolist():
        digest = blake2b(f"{salt} {one}".encode(), digest_size=8).digest()
        own = np.flatnonzero(expert == one)
        order[own] = np.random.default_rng(int.from_bytes(digest, "little")).permutation(own)
    return order


def covering(probed: Finished, task: int) -> Int64[np.ndarray, "some"]:
    """Return the experts that fire on at least half of a labelled task's labels, each in at least half of its rows."""
    labels, stats = probed.tables["labels"], probed.tables["label_stats"]
    n_labels = np.count_nonzero(_array(labels, "rows")[_rows_of(labels, task)])
    at = _rows_of(stats, task)
    at = at[_array(stats, "fires")[at] >= COVERED_RATE]
    expert, covered = np.unique(_array(stats, "expert")[at].astype(np.int64), return_counts=True)
    return expert[covered >= COVERED_SHARE * n_labels]


def _source(
    stage: Finished, task: int, number: int, unit: str, at: Int64[np.ndarray, "point"], expert: Int64[np.ndarray, "point"]
) -> Source:
    tables = stage.tables
    owner, n = np.unique(expert, return_counts=True)
    return Source(
        number,
        _name(stage, task),
        str(tables["tasks"]["title"][list(_array(tables["tasks"], "task")).index(task)]),
        tables["tasks"]["kind"][0] == "corpus",
        unit,
        owner,
        np.concatenate([[0], np.cumsum(n)]).astype(np.int64),
        _array(tables["codes"], "code")[at],
    )


def _name(stage: Finished, task: int) -> str:
    tasks = stage.tables["tasks"]
    return str(tasks["name"][list(_array(tasks, "task")).index(task)])


def _tokens(stage: Finished, task: int, points: Int64[np.ndarray, "point"]) -> Int64[np.ndarray, "point"]:
    """Return the id of the token that each point is on, given as rows of the table of points, all of one task."""
    windows, table = stage.tables["windows"], stage.tables["points"]
    tokens = windows["tokens"]
    assert isinstance(tokens, Ragged)
    # Windows of a task stand together, numbered from 0.
    row = _rows_of(windows, task)[:1].sum() + _array(table, "window")[points]
    return tokens.values[tokens.offsets[row] + _array(table, "position")[points]].astype(np.int64)


def _ranks(group: Int64[np.ndarray, "entry"]) -> Int64[np.ndarray, "entry"]:
    """Return each entry's place, from 0, among those of its group in the order in which they stand."""
    order = np.argsort(group, kind="stable")
    n = np.unique(group, return_counts=True)[1]
    ranks = np.empty(len(group), dtype=np.int64)
    ranks[order] = np.arange(len(group)) - np.repeat(np.cumsum(n) - n, n)
    return ranks


def _rows_of(columns: Mapping[str, Column], task: int) -> Int64[np.ndarray, "row"]:
    return np.flatnonzero(_array(columns, "task") == task)


def _array(columns: Mapping[str, Column], name: str) -> Any:
    return np.asarray(columns[name])
