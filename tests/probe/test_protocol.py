"""The reference's protocol reads a task as the reference does: shuffled, cut to a thousand rows, where an expert fires."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.probe.protocol import MAX_SENTENCES, by_reference
from atlas.probe.scores import Fired, adjusted_fisher, continuity, fisher, reference_scores
from labelled import always, grid, ring, stacked
from templated import classes_of, ring_of

SEASONS = classes_of([0, 0, 1, 1, 2, 2], ("cold", "mild", "warm"))


@pytest.fixture(scope="module")
def rare() -> tuple[np.ndarray, Fired]:
    """1,200 rows; an expert that always fires, one that does on a fifth of them, one on too few."""
    rng = np.random.default_rng(0)
    rows = grid(6, 200)
    n = len(rows.label)
    code = np.column_stack([ring(6)[rows.label], np.zeros(n)]) + 0.5 * rng.standard_normal((n, 3))
    return rows.label, stacked(always(code), (rng.random(n) < 0.2, code), (np.arange(n) < 60, code))


def test_each_expert_is_what_its_own_rows_give(rare: tuple[np.ndarray, Fired]) -> None:
    label, fired = rare
    rows = grid(6, 200)
    x = np.random.default_rng(1).standard_normal((len(label), 5)).astype(np.float32)
    targets = [ring(6)[label], SEASONS.of_label[label] if SEASONS.of_label is not None else np.zeros((0, 1))]

    found = by_reference(rows, fired, x, (ring_of(6), SEASONS), targets, 3, seed=4)

    order = np.random.default_rng(4).permutation(len(label))[:MAX_SENTENCES]
    assert found.kept.tolist() == [True, True, False] and found.rows[0] == MAX_SENTENCES
    for expert in (0, 1):
        mine = dict(zip(fired.row[fired.expert == expert].tolist(), fired.code[fired.expert == expert], strict=True))
        active = [row for row in order.tolist() if row in mine]
        codes = np.array([mine[row] for row in active])
        assert found.rows[expert] == len(active)
        assert found.fisher[expert] == pytest.approx(fisher(codes, label[active]))
        assert found.adjusted_fisher[expert] == pytest.approx(adjusted_fisher(codes, label[active], 6))
        assert found.continuity[expert] == pytest.approx(continuity(codes, x[active]), rel=1e-5)
        alone = Fired(np.arange(len(active)), np.zeros(len(active), dtype=np.int64), codes)
        for scored, of_rows, kind in zip(found.scores, targets, ("linear", "multinomial"), strict=True):
            expected = reference_scores(alone, 1, of_rows[active], kind)  # type: ignore[arg-type]
            assert (scored.mean[expert], scored.std[expert]) == pytest.approx((expected.mean[0], expected.std[0]))


def test_tables_hold_the_kept_experts_by_their_ratio(rare: tuple[np.ndarray, Fired]) -> None:
    label, fired = rare
    found = by_reference(grid(6, 200), fired, np.ones((len(label), 2), np.float32), (ring_of(6),), [ring(6)[label]], 3, seed=0)

    experts, scored = found.tables()

    by_ratio = sorted((0, 1), key=lambda expert: -found.fisher[expert])
    assert np.asarray(experts["expert"]).tolist() == np.asarray(scored["expert"]).tolist() == by_ratio
    assert np.asarray(experts["rank"]).tolist() == [0, 1]
    np.testing.assert_array_equal(scored["mean"], found.scores[0].mean[by_ratio])
