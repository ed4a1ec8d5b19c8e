"""The map: like lie together, names hold, and what is said of its quality is what is so."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.manifold import trustworthiness

from atlas.errors import ConfigError
from atlas.geometry import layout as laying
from atlas.geometry import overview as mapping
from atlas.geometry.layout import layout, quality
from atlas.geometry.overview import Overview, OverviewConfig, Words, overview
from atlas.geometry.similarity import Cosine, Mix, Overlap, Sampled, nearest

NO_WORDS = Words(np.zeros(0, dtype=np.int32), [], np.zeros(0), np.zeros(0))


def families(sizes: list[int], spread: float = 0.5, seed: int = 0) -> torch.Tensor:
    """Maps of experts that write nearly into one subspace per family."""
    rng = np.random.default_rng(seed)
    middle = np.repeat(rng.normal(size=(len(sizes), 3, 40)), sizes, axis=0)
    return torch.from_numpy((middle + spread * rng.normal(size=middle.shape)).astype(np.float32))


def silent(n_tokens: int = 10) -> Sampled:
    """A token sample on which nothing fires."""
    none = np.zeros(0, dtype=np.int32)
    return Sampled(np.zeros(n_tokens, dtype=np.int32), np.arange(n_tokens), none, none)


def mapped(
    maps: torch.Tensor,
    titles: list[tuple[str, str | None]] | None = None,
    words: Words = NO_WORDS,
    sample: Sampled | None = None,
    config: OverviewConfig | None = None,
) -> Overview:
    """The map of experts that only write."""
    n = len(maps)
    dense = np.zeros(n, dtype=bool)
    return overview(maps, sample or silent(), dense, titles or [("tokens", None)] * n, words, config or OverviewConfig())


def places(found: Overview) -> np.ndarray:
    return np.stack([found.x, found.y], axis=1).astype(np.float64)


# Places


def test_families_lie_together() -> None:
    sizes = [30, 20, 40, 25]
    family = np.repeat(np.arange(4), sizes)
    place = places(mapped(families(sizes)))

    distance = np.linalg.norm(place[:, None] - place[None], axis=2)
    nearest_five = distance.argsort(axis=1)[:, 1:6]
    assert (family[nearest_five] == family[:, None]).mean() > 0.97
    assert np.sqrt(np.square(place).sum(axis=1).mean()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(place.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("sizes", [[60, 60], [6, 90], [8, 8, 8, 8, 8]], ids=str)
def test_islands_do_not_lie_on_one_another(sizes: list[int]) -> None:
    """Families without any overlap: each has 40 dimensions of its own."""
    n = len(sizes)
    maps = torch.zeros(sum(sizes), 3, 40 * n)
    family = np.repeat(np.arange(n), sizes)
    for one in range(n):
        maps[family == one, :, 40 * one : 40 * (one + 1)] = families([sizes[one]], seed=one)
    place = places(mapped(maps))

    middle = np.stack([place[family == one].mean(axis=0) for one in range(n)])
    reach = [np.linalg.norm(place[family == one] - middle[one], axis=1).max() for one in range(n)]
    for one in range(n):
        for other in range(one):
            assert np.linalg.norm(middle[one] - middle[other]) > max(reach[one], reach[other])


def test_firing_together_draws_together() -> None:
    """All write into directions of their own; tokens fire the first half together, or the second."""
    rng = np.random.default_rng(0)
    n, n_tokens = 60, 400
    maps = torch.eye(n)[:, None, :]
    half = np.arange(n) >= n // 2
    token, expert = np.nonzero((rng.random((n_tokens, n)) < 0.3) & (half[None] == (np.arange(n_tokens) % 2 == 1)[:, None]))
    sample = Sampled(np.zeros(n_tokens, dtype=np.int32), np.arange(n_tokens), token, expert)

    found = mapped(maps, sample=sample)

    distance = np.linalg.norm(places(found)[:, None] - places(found)[None], axis=2)
    assert found.left_out == 0
    assert (half[distance.argsort(axis=1)[:, 1:6]] == half[:, None]).mean() > 0.97


def test_dense_experts_are_not_near_what_they_fire_with() -> None:
    token, expert = np.repeat(np.arange(50), 3), np.tile([0, 1, 2], 50)
    sample = Sampled(np.zeros(50, dtype=np.int32), np.arange(50), token, expert)

    found = overview(
        torch.eye(3)[:, None, :],
        sample,
        np.array([False, True, False]),
        [("tokens", None)] * 3,
        NO_WORDS,
        OverviewConfig(),
    )

    assert found.expert.tolist() == [0, 2] and found.left_out == 1


def test_experts_that_are_near_nothing_are_left_out() -> None:
    maps = families([12, 12])
    maps[[3, 20]] = 0
    maps[5] = torch.nan

    found = mapped(maps)

    assert found.left_out == 3 and found.expert.tolist() == [one for one in range(24) if one not in (3, 5, 20)]
    assert found.provenance()["experts"] == 21 and found.provenance()["left_out"] == 3


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 9, 16, 30])
def test_any_number_of_experts_has_a_map(n: int) -> None:
    found = mapped(families([n]))

    assert len(found.expert) == (n if n > 1 else 0) and found.left_out == n - len(found.expert)
    assert np.isfinite(places(found)).all()
    assert len(np.unique(places(found), axis=0)) == len(found.expert)
    assert (found.quality is None) == (n < 3)


@pytest.mark.parametrize("n", [3, 20, 130])
def test_experts_that_are_all_alike_have_a_map(n: int) -> None:
    found = mapped(families([1]).repeat(n, 1, 1))

    assert len(found.expert) == n and np.isfinite(places(found)).all()
    assert found.quality is not None and np.isfinite(found.quality).all()


SCRIPT = """
import hashlib, sys
sys.path.insert(0, "tests")
from geometry.test_overview import digest
print(digest())
"""


def digest() -> str:
    """A hash of all that a map holds."""
    import torch as loaded

    threads = int(os.environ["OMP_NUM_THREADS"])
    assert loaded.get_num_threads() == threads
    found = mapped(families([30, 50, 40]), config=OverviewConfig())
    held = [found.x.tobytes(), found.y.tobytes(), found.cluster.tobytes(), repr(found.provenance()).encode()]
    return hashlib.sha256(b"".join(held)).hexdigest()


def test_the_number_of_threads_changes_nothing() -> None:
    made = {}
    for threads in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "OMP_NUM_THREADS": threads}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        made[threads] = ran.stdout
    assert made["1"] == made["2"] and len(made["1"]) == 65


# Quality


def rows_and_places(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    rows = rng.exponential(size=(n, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, rows[:, :2] + 0.2 * rng.normal(size=(n, 2))


@pytest.mark.parametrize(("n", "k"), [(150, 15), (40, 7), (31, 15)])
def test_quality_is_that_of_scikit_learn(n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths of differences of unit vectors rank as their cosines do, so its other direction is continuity."""
    monkeypatch.setattr(laying, "BLOCK_PAIRS", 7 * n)
    rows, place = rows_and_places(n)

    found = quality(Cosine(sparse.csr_matrix(rows)), place, k)

    assert found is not None and found.k == k
    assert found.trustworthiness == pytest.approx(trustworthiness(rows, place, n_neighbors=k), abs=1e-9)
    assert found.continuity == pytest.approx(trustworthiness(place, rows, n_neighbors=k), abs=1e-9)


def test_shuffled_places_get_what_is_said() -> None:
    rows, place = rows_and_places(60)
    similarity, rng = Cosine(sparse.csr_matrix(rows)), np.random.default_rng(0)
    shuffled = [quality(similarity, rng.permutation(place), 9) for _ in range(60)]

    drawn = np.array([(one.trustworthiness, one.continuity) for one in shuffled if one])

    assert shuffled[0] is not None
    np.testing.assert_allclose(drawn.mean(axis=0), shuffled[0].by_chance, atol=4 * drawn.std() / 60**0.5)


def test_a_perfect_map_has_quality_one() -> None:
    """Unit vectors in a quarter of a plane: the plane shows them as they are."""
    angle = np.sort(np.random.default_rng(0).uniform(0, np.pi / 2, 40))
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    found = quality(Cosine(sparse.csr_matrix(place)), place, 5)

    # float32 cannot tell the angles of some apart.
    assert found is not None and min(found.trustworthiness, found.continuity) > 0.999


def test_equals_rank_by_number() -> None:
    """All are alike and in one place: everybody's nearest are the first by number, both ways."""
    alike = Overlap(torch.ones(9, 1, 4))

    found = quality(alike, np.zeros((9, 2)), 3)

    assert found is not None and found.trustworthiness == found.continuity == 1


def test_a_layout_is_better_than_chance() -> None:
    found = mapped(families([40, 40, 40], spread=1.5)).quality

    assert found is not None and min(found.trustworthiness, found.continuity) > found.by_chance + 0.2
    assert found.by_chance == pytest.approx(0.5, abs=0.05)


# Mix


def test_mix_is_a_weighted_mean() -> None:
    maps, rows = families([5, 7], spread=1), np.random.default_rng(0).random((12, 4))
    overlap, cosine = Overlap(maps), Cosine(sparse.csr_matrix(rows))
    part = slice(2, 9), slice(0, 12)

    mixed = Mix(overlap, cosine, 0.75)

    np.testing.assert_allclose(mixed.block(*part), 0.75 * overlap.block(*part) + 0.25 * cosine.block(*part), atol=1e-6)
    chosen = np.array([1, 4, 5, 11])
    of_all = mixed.block(slice(0, 12), slice(0, 12)).numpy()[np.ix_(chosen, chosen)]
    np.testing.assert_allclose(mixed.only(chosen).block(slice(0, 4), slice(0, 4)), of_all, atol=1e-6)


def test_the_mix_is_said_in_words() -> None:
    said = mapped(families([6]), config=OverviewConfig(output_share=0.75)).provenance()["mix"]
    assert said.startswith("75% output overlap, 25% firing together")


# Clusters


def test_clusters_are_the_families_largest_first() -> None:
    found = mapped(families([25, 60, 40], spread=0.3))

    family = np.repeat([0, 1, 2], [25, 60, 40])
    assert [cluster.experts for cluster in found.clusters] == np.bincount(found.cluster[found.cluster >= 0]).tolist()
    assert [cluster.experts for cluster in found.clusters] == sorted((c.experts for c in found.clusters), reverse=True)
    for number, cluster in enumerate(found.clusters):
        members = found.cluster == number
        assert len(set(family[members])) == 1
        assert (cluster.x, cluster.y) == pytest.approx(np.median(places(found)[members], axis=0))


def blobs(n: int, each: int) -> np.ndarray:
    """Points around a grid of middles."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(n)))
    middle = np.stack(np.divmod(np.arange(n), side), axis=1)
    return np.repeat(middle, each, axis=0) + 0.05 * rng.normal(size=(n * each, 2))


def test_there_are_never_more_clusters_than_can_be_read() -> None:
    few, many = mapping.clusters(blobs(20, 8)), mapping.clusters(blobs(100, 8))

    assert few.max() + 1 == 20
    assert 0 <= many.max() < mapping.MOST_CLUSTERS
    assert (np.bincount(many[many >= 0]) > mapping.LEAST_CLUSTER).all()


def test_too_few_experts_have_no_clusters() -> None:
    found = mapped(families([9]))
    assert not found.clusters and (found.cluster == -1).all()
    assert not len(found.tables()["overview_clusters"]["cluster"])


def named(titles: list[tuple[str, str | None]], words: Words = NO_WORDS) -> mapping.Cluster:
    """The cluster of experts 10, 11, …, one for each title."""
    everyone = [("task", "Letters")] * 10 + titles
    return mapping._named(np.arange(10, 10 + len(titles)), np.zeros((len(titles), 2)), everyone, words)


def test_a_cluster_is_named_after_the_task_of_at_least_half_its_titles() -> None:
    months, years, other = ("order", "Months"), ("task", "Years"), ("tokens", None)

    assert named([months, ("task", "Months"), other, years])[:4] == ("Months", "title", 4, 2)
    assert named([months, years, other]).basis == "tokens"
    assert named([years, months]).name == "Months", "of equals the first by name"


def test_a_cluster_is_named_after_its_most_lifted_tokens() -> None:
    e = np.e
    rows = [
        (10, " file", 0.5, e),
        (11, "file", 0.3, e),
        (11, "the", 0.9, 1.0),
        (12, " path", 0.2, e**2),
        (12, "\n", 0.35, e),
        (12, "zip", 0.1, e),
        (3, "elsewhere", 1.0, e**3),
        (13, "rare", 0.9, 0.1),
    ]
    expert, text, share, lift = zip(*rows, strict=True)
    words = Words(np.array(expert), list(text), np.array(share), np.array(lift))

    found = named([("tokens", None)] * 4, words)

    # 0.8 for “file” of two experts, 0.4 for “path”, 0.35 for the newline, which has no text but itself.
    assert found[:4] == ("“file” “path” “\n”", "tokens", 4, 3)


def test_a_cluster_without_tokens_says_so() -> None:
    assert named([("tokens", None)] * 3)[:4] == ("No token stands out", "tokens", 3, 0)


# Rows


def test_rows_are_those_of_the_schema() -> None:
    found = mapped(families([20, 20], spread=0.3))
    tables = found.tables()

    assert list(tables["overview"]) == ["expert", "x", "y", "cluster"]
    assert list(tables["overview_clusters"]) == ["cluster", "name", "basis", "experts", "named", "x", "y"]
    assert {len(column) for column in tables["overview"].values()} == {40}
    cluster = np.asarray(tables["overview"]["cluster"])
    np.testing.assert_array_equal(np.isnan(cluster), found.cluster < 0)
    assert len(tables["overview_clusters"]["name"]) == len(found.clusters) >= 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"output_share": 1.5}, "output_share is 1.5; it is a share, from 0 to 1."),
        ({"drawn_by": 2}, "drawn_by is 2; a layout takes at least 5 nearest others."),
        ({"neighbours": 0}, "neighbours is 0; a layout is judged by at least 1."),
    ],
    ids=["share", "drawn by", "neighbours"],
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match="^" + said.replace(".", r"\.") + "$"):
        OverviewConfig(**setting)  # type: ignore[arg-type]


def test_who_has_fewer_neighbours_than_the_layout_takes_is_placed() -> None:
    """A pair by itself, beside a family."""
    maps = torch.zeros(22, 3, 80)
    maps[:20, :, :40] = families([20])
    maps[20:, :, 40:] = families([2])
    graph = nearest(Overlap(maps), 8)

    place = layout(graph, 0)

    assert (graph.other[20:, 1:] == -1).all()
    assert np.isfinite(place).all()
    assert np.linalg.norm(place[20] - place[21]) < np.linalg.norm(place[20] - place[:20], axis=1).min()
