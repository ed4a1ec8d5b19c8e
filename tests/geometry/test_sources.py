"""Which firings make an expert's clouds."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.geometry.sources import MANY_LABELS, PER_TOKEN, TASK_POINTS, Source, covering, sources
from sourced import Firings, corpus, harvest, probe

NO_TASK = probe([1], {})


def places(source: Source) -> dict[int, list[int]]:
    """Of each expert with a cloud, which of its firings are in it."""
    clouds = source.clouds(np.tile(np.eye(2), (int(source.expert.max(initial=0)) + 1, 1, 1)))
    assert all((cloud.code[:, 0] == expert).all() for cloud, expert in zip(clouds, source.expert, strict=True))
    return {int(expert): cloud.code[:, 1].astype(int).tolist() for cloud, expert in zip(clouds, source.expert, strict=True)}


def test_of_a_corpus_the_first_firing_on_each_token_is_kept() -> None:
    firings = {0: [7] * 9 + [8, 7, 8], 2: [7, 9, 7], 5: [8]}

    (source, _) = sources(harvest(corpus(0, "docs", firings)), NO_TASK, seed=0)

    expected = {
        expert: [i for i, token in enumerate(tokens) if tokens[:i].count(token) < PER_TOKEN] for expert, tokens in firings.items()
    }
    assert places(source) == expected == {0: [0, 9], 2: [0, 1], 5: [0]}
    assert source.points().tolist() == [2, 2, 1]


def test_every_corpus_is_a_source_with_its_own_windows_and_tasks_follow() -> None:
    first, second = corpus(0, "docs", {0: [7, 7]}), corpus(1, "more", {1: [3] * 8 + [4]})

    found = sources(harvest(first, second), probe([2, 2], {4: [0, 0, 1]}), seed=0)

    assert [(one.task, one.name, one.title, one.is_corpus) for one in found] == [
        *[(0, "docs", "Docs", True), (1, "more", "More", True), (2, "months", "Months", False)]
    ]
    assert [places(one) for one in found] == [{0: [0]}, {1: [0, 8]}, {4: [0, 1, 2]}]


@pytest.mark.parametrize(
    ("fired", "covers"),
    [([0, 0, 1, 1], True), ([0, 0, 0, 0, 1], False), ([0, 1], False), ([], False), ([0, 0, 1, 1, 2, 3], True)],
    ids=["half of the labels", "one label and a bit", "half the labels, too rarely", "silent", "more"],
)
def test_a_task_is_a_source_for_experts_that_fire_on_half_of_its_labels(fired: list[int], covers: bool) -> None:
    probed = probe([4, 4, 4, 4], {3: fired, 9: [0] * 4 + [1] * 4})

    assert covering(probed, 1).tolist() == ([3] if covers else []) + [9]
    (_, source) = sources(harvest(corpus(0, "docs", {})), probed, seed=0)
    assert places(source).get(3) == (list(range(len(fired))) if covers else None)


def test_labels_without_rows_do_not_count() -> None:
    assert covering(probe([2, 2, 0, 0, 0], {1: [0]}), 1).tolist() == [1]


def test_of_many_firings_on_a_task_the_seed_chooses_a_thousand_for_each_expert_by_itself() -> None:
    many = {0: [0] * 1500, 1: [0] * (TASK_POINTS + 1), 2: [0] * TASK_POINTS}

    def chosen(seed: int, fired: Firings) -> dict[int, list[int]]:
        return places(sources(harvest(corpus(0, "docs", {})), probe([1500], fired), seed)[1])

    found = chosen(0, many)
    assert {expert: len(kept) for expert, kept in found.items()} == dict.fromkeys(many, TASK_POINTS)
    assert all(kept == sorted(set(kept)) for kept in found.values())
    assert max(found[0]) > 1400 and found[2] == list(range(TASK_POINTS))
    assert chosen(0, {0: many[0]})[0] == found[0] != chosen(1, many)[0]


def test_of_a_task_of_many_labels_one_firing_on_each_is_kept_by_the_seed() -> None:
    fired = {0: [*range(MANY_LABELS)] * 3, 1: [*range(30)] * 2}

    def chosen(seed: int, n_labels: int, fired: Firings = fired) -> Source:
        return sources(harvest(corpus(0, "docs", {})), probe([3] * n_labels, fired), seed)[1]

    found = chosen(0, MANY_LABELS)
    assert found.unit == "label" and not any(cloud.clumped for cloud in found.clouds(np.tile(np.eye(2), (2, 1, 1))))
    labels = {expert: [fired[expert][i] for i in kept] for expert, kept in places(found).items()}
    assert {expert: sorted(of) for expert, of in labels.items()} == {0: [*range(MANY_LABELS)], 1: [*range(30)]}
    assert places(found) != places(chosen(1, MANY_LABELS))
    few = chosen(0, MANY_LABELS - 1, {0: [*range(30)] * 3, 1: [*range(25)] * 2})
    assert few.points().tolist() == [90, 50] and all(one.clumped for one in few.clouds(np.tile(np.eye(2), (2, 1, 1))))
