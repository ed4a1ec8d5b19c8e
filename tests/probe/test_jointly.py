"""Shattered manifolds are found with all of their pieces; what adds nothing, or has no order, is not listed."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from atlas.probe.scores import Fired, Joint, Rows, jointly, scores, sums

N_LABELS, N_TEMPLATES = 12, 18
CERTAIN = np.zeros(64)
"""Adjusted p of experts whose order is supported."""

Piece = tuple[np.ndarray, np.ndarray]
"""Where an expert fires, and its codes on all rows."""


@pytest.fixture
def rows() -> Rows:
    """Every label in every template; six groups, of which the second and the fifth are the report set."""
    fold = np.arange(N_TEMPLATES) // 3
    return Rows(
        label=np.tile(np.arange(N_LABELS), N_TEMPLATES),
        template=np.repeat(np.arange(N_TEMPLATES), N_LABELS),
        fold=fold,
        report=fold % 3 == 1,
        n_labels=N_LABELS,
    )


@pytest.fixture
def ring(rows: Rows) -> np.ndarray:
    """Sine and cosine of each row's label."""
    angle = 2 * np.pi * rows.label / N_LABELS
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def fired_by(*pieces: Piece) -> Fired:
    """Firings of experts, in an order that is none."""
    row = np.concatenate([np.flatnonzero(active) for active, _ in pieces])
    expert = np.concatenate([np.full(active.sum(), number) for number, (active, _) in enumerate(pieces)])
    code = np.concatenate([code[active] for active, code in pieces])
    order = np.random.default_rng(0).permutation(len(row))
    return Fired(row[order], expert[order], code[order])


def turned(ring: np.ndarray, seed: int, noise: float = 0.1) -> np.ndarray:
    """The ring somewhere in three dimensions, a little noisy."""
    rng = np.random.default_rng(seed)
    return 3 + ring @ rng.standard_normal((2, 3)) + noise * rng.standard_normal((len(ring), 3))


def arcs(rows: Rows, ring: np.ndarray, n: int, rate: float = 0.85) -> list[Piece]:
    """The ring, cut into arcs of equal length, each held by an expert of its own that fires on most of its rows."""
    rng = np.random.default_rng(n)
    fires = rng.random(len(ring)) < rate
    return [(fires & (rows.label * n // N_LABELS == arc), turned(ring, arc)) for arc in range(n)]


def noise(rows: Rows, n: int, seed: int = 9) -> list[Piece]:
    rng = np.random.default_rng(seed)
    return [(rng.random(len(rows.label)) < 0.4, rng.standard_normal((len(rows.label), 3))) for _ in range(n)]


def found(rows: Rows, pieces: list[Piece], targets: np.ndarray, p: np.ndarray = CERTAIN) -> Joint:
    return jointly(rows, fired_by(*pieces), len(pieces), targets, p, seed=0)


def slow(rows: Rows, pieces: list[Piece], targets: np.ndarray, chosen: list[int]) -> tuple[float, float]:
    """Ranking and report R² of the chosen experts from plain least squares on dense features."""
    columns = [np.ones((len(rows.label), 1))]
    for expert in chosen:
        active, code = pieces[expert]
        columns.append(np.where(active[:, None], np.column_stack([code, np.ones(len(code))]), 0.0))
    features = np.concatenate(columns, axis=1)

    def errors(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        fit = np.linalg.lstsq(features[train], targets[train], rcond=None)[0]
        return np.array(
            [((targets[test] - features[test] @ fit) ** 2).sum(), ((targets[test] - targets[train].mean(axis=0)) ** 2).sum()]
        )

    report, fold = rows.report[rows.template], rows.fold[rows.template]
    parts = [errors(~report & (fold != held), ~report & (fold == held)) for held in np.unique(fold[~report])]
    error, variance = np.sum(parts, axis=0)
    report_error, report_variance = errors(~report, report)
    return 1 - error / variance, 1 - report_error / report_variance


@pytest.mark.parametrize("n", [2, 3, 4])
def test_ring_in_arcs_is_found_with_every_arc(n: int, rows: Rows, ring: np.ndarray) -> None:
    joint = found(rows, noise(rows, 6) + arcs(rows, ring, n), ring)

    assert joint.listed.tolist() == [True] * n + [False] * (4 - n)
    assert set(joint.expert[:n].tolist()) == set(range(6, 6 + n))
    assert joint.all_rows[n - 1] > 0.75 > joint.all_rows[n - 2]
    assert (joint.all_rows_low[:n] < joint.all_rows[:n]).all() and (joint.all_rows[:n] < joint.all_rows_high[:n]).all()


def test_silence_of_three_arcs_stands_for_the_fourth(rows: Rows, ring: np.ndarray) -> None:
    """Where pieces are never silent on their own rows, the last one tells only where within its arc a row lies."""
    pieces = arcs(rows, ring, 4, rate=1.0)
    within = np.mean([((ring[active] - ring[active].mean(axis=0)) ** 2).sum(axis=1).mean() for active, _ in pieces])

    joint = found(rows, pieces, ring)

    assert 0 < joint.added[3] < within / 4 < 0.05
    assert joint.listed.tolist() == [True, True, True, False]


def test_whole_ring_is_no_group(rows: Rows, ring: np.ndarray) -> None:
    joint = found(rows, [*noise(rows, 6), (np.ones(len(ring), dtype=bool), turned(ring, 0))], ring)

    assert joint.expert[0] == 6
    assert joint.all_rows[0] > 0.9
    assert not joint.listed.any()


def test_duplicate_of_an_expert_adds_nothing(rows: Rows, ring: np.ndarray) -> None:
    piece = arcs(rows, ring, 2)[0]

    joint = found(rows, [piece, piece, piece], ring)

    assert joint.expert.tolist() == [0, 1, 2]
    np.testing.assert_allclose(joint.added[1:], 0, atol=1e-4)
    assert not joint.listed.any()


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_never_listed(seed: int, rows: Rows, ring: np.ndarray) -> None:
    joint = found(rows, noise(rows, 40, seed), ring)

    assert not joint.listed.any()
    assert (joint.all_rows < 0.1).all()


@pytest.mark.parametrize(
    ("p", "listed"),
    [([0.01, 0.05, 0.01], 3), ([0.01, 0.01, 0.051], 2), ([0.01, np.nan, 0.01], 0), ([0.5, 0.01, 0.01], 0)],
    ids=["all pass", "the last fails", "the second is not tested", "the first fails"],
)
def test_every_member_of_a_group_passes_the_null(p: list[float], listed: int, rows: Rows, ring: np.ndarray) -> None:
    """The arcs are numbered in the order in which they are taken, which the test looks up first."""
    pieces = arcs(rows, ring, 3)
    order = found(rows, pieces, ring).expert
    p_adjusted = np.empty(3)
    p_adjusted[order] = p

    assert found(rows, pieces, ring, p_adjusted).listed.sum() == listed


def test_one_expert_alone_has_its_all_row_score(rows: Rows, ring: np.ndarray) -> None:
    pieces = noise(rows, 2) + arcs(rows, ring, 3)
    single = scores(sums(rows, fired_by(*pieces), 5), ring, seed=0)

    for expert, piece in enumerate(pieces):
        joint = jointly(rows, fired_by(piece), 1, ring, CERTAIN, seed=0)
        for measure in ("ranking", "all_rows", "all_rows_low", "all_rows_high"):
            np.testing.assert_allclose(getattr(joint, measure), [getattr(single, measure)[expert]], atol=1e-4)


def test_silence_that_training_never_saw_is_given_the_mean_of_training(rows: Rows, ring: np.ndarray) -> None:
    """The expert fires on every ranking row, so that nothing says what its silence means."""
    active = ~rows.report[rows.template] | (rows.label % 2 == 0)
    fired = fired_by((active, turned(ring, 0)))

    joint = jointly(rows, fired, 1, ring, CERTAIN, seed=0)

    expected = scores(sums(rows, fired, 1), ring, seed=0).all_rows
    np.testing.assert_allclose(joint.all_rows, expected, atol=1e-5)


@pytest.mark.parametrize("make", [lambda rows, ring: ring, lambda rows, ring: rows.label[:, None] ** 1.5], ids=["ring", "number"])
def test_every_step_equals_least_squares_and_is_the_best_there_is(
    make: Callable[[Rows, np.ndarray], np.ndarray], rows: Rows, ring: np.ndarray
) -> None:
    targets = make(rows, ring)
    pieces = noise(rows, 4) + arcs(rows, ring, 4) + [(np.zeros(len(ring), dtype=bool), ring @ np.ones((2, 3)))]

    joint = found(rows, pieces, targets)

    for step in range(4):
        before = joint.expert[:step].tolist()
        every = [slow(rows, pieces, targets, [*before, other])[0] for other in range(9) if other not in before]
        ranking, report = slow(rows, pieces, targets, [*before, int(joint.expert[step])])
        np.testing.assert_allclose([joint.ranking[step], joint.all_rows[step]], [ranking, report], atol=1e-4)
        assert ranking == pytest.approx(max(every))


def test_targets_of_the_row_need_not_follow_from_labels(rows: Rows) -> None:
    rng = np.random.default_rng(3)
    n = len(rows.label)
    parts = rng.standard_normal((n, 2, 3))
    targets = parts.sum(axis=1)[:, :1] + parts[:, 0, 1:2]

    joint = found(rows, [*noise(rows, 3), *((np.ones(n, dtype=bool), parts[:, i]) for i in (0, 1))], targets)

    assert joint.expert[:2].tolist() == [3, 4]
    assert joint.all_rows[1] == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(joint.added, np.diff(joint.all_rows, prepend=0))


def test_blocks_of_candidates_do_not_change_the_result(rows: Rows, ring: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = noise(rows, 6) + arcs(rows, ring, 4)
    whole = found(rows, pieces, ring)

    # The package gives the function under the name of its module.
    monkeypatch.setattr(sys.modules["atlas.probe.scores.jointly"], "BLOCK_NUMBERS", 3 * len(ring) * 4)

    in_blocks = found(rows, pieces, ring)
    assert in_blocks.expert.tolist() == whole.expert.tolist()
    np.testing.assert_allclose(in_blocks.ranking, whole.ranking, atol=1e-9)


def test_fewer_experts_than_steps(rows: Rows, ring: np.ndarray) -> None:
    assert sorted(found(rows, arcs(rows, ring, 2), ring).expert.tolist()) == [0, 1]
    nothing = Fired(*(np.zeros((0, *shape), dtype=np.int64) for shape in ((), ())), np.zeros((0, 3)))
    assert [len(column) for column in jointly(rows, nothing, 0, ring, CERTAIN, seed=0)] == [0] * 7
