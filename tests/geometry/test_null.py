"""Gated Gaussians have the moments that were asked for, and nothing inside the gate."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.geometry.gated import draw, fit
from atlas.geometry.null import Drawn, Null, spread_out

N_DRAWN = 8000


def passed(mean: list[float], deviation: list[float], threshold: float, n: int = 3000) -> np.ndarray:
    """What a gate lets through of a Gaussian."""
    pool = np.random.default_rng(0).standard_normal((400_000, len(mean))) * deviation + mean
    return pool[np.linalg.norm(pool, axis=1) > threshold][:n]


CASES = {
    "not cut": ([5.0, 0, 0], [1.0, 0.5, 0.7], 1.0),
    "no gate": ([0.0, 0.3, 0], [1.0, 0.5, 0.7], 0.0),
    "a hole": ([0.1, 0.0, 0], [1.0, 0.6, 0.8], 1.0),
    "a deep hole": ([0.0, 0.0, 0], [1.0, 0.8, 0.6], 3.0),
    "a cap": ([0.5, 0.5, 0], [0.4, 0.4, 0.4], 1.7),
    "two numbers": ([0.3, 0.0], [1.0, 0.7], 1.5),
    "one number": ([0.5], [1.0], 1.0),
    "five numbers": ([0.3, 0, 0, 0, 0], [1.0, 0.7, 0.7, 0.7, 0.7], 2.0),
}


@pytest.mark.parametrize("case", CASES)
def test_draws_have_the_mean_and_covariance_of_the_sample(case: str) -> None:
    mean, deviation, threshold = CASES[case]
    sample = passed(mean, deviation, threshold)
    covariance = np.atleast_2d(np.cov(sample.T, bias=True))
    scale = np.sqrt(np.diag(covariance)).max()

    gated = fit(sample.mean(axis=0), covariance, threshold, 0)
    points = draw(gated, N_DRAWN, np.random.default_rng(1))

    assert gated.misfit < 0.03
    assert (np.linalg.norm(points, axis=1) >= threshold * (1 - 1e-9)).all()
    np.testing.assert_allclose(points.mean(axis=0) / scale, sample.mean(axis=0) / scale, atol=0.06)
    np.testing.assert_allclose(np.cov(points.T, bias=True) / scale**2, np.squeeze(covariance) / scale**2, atol=0.08)


def test_gaussian_behind_the_gate_is_found_again() -> None:
    sample = passed([0.6, 0.0, 0.0], [1.0, 0.5, 0.7], 1.2, 100_000)

    gated = fit(sample.mean(axis=0), np.cov(sample.T), 1.2, 0)

    np.testing.assert_allclose(np.linalg.inv(gated.precision), np.diag([1, 0.25, 0.49]), atol=0.06)
    np.testing.assert_allclose(np.linalg.solve(gated.precision, gated.linear), [0.6, 0, 0], atol=0.06)


def test_tail_that_no_gaussian_has_gets_the_nearest() -> None:
    rng = np.random.default_rng(0)
    sample = (1 + 0.05 * rng.exponential(size=2000))[:, None] * [1.0, 0, 0] + 0.001 * rng.standard_normal((2000, 3))

    gated = fit(sample.mean(axis=0), np.cov(sample.T), 1.0, 0)

    assert gated.misfit > 0.01
    assert np.isfinite(draw(gated, 500, np.random.default_rng(0))).all()


def test_draws_follow_the_seed() -> None:
    gated = fit(np.array([2.0, 0, 0]), np.eye(3), 1.0, 0)

    first, again, other = (draw(gated, 20, np.random.default_rng(seed)) for seed in (4, 4, 5))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def table(values: np.ndarray) -> Null:
    """A null whose statistics are all `values`, by anchor and draw, at places one apart."""
    statistic = np.repeat(values[:, :, None], 4, axis=2)
    zeros = np.zeros((*values.shape, 1))
    place = np.arange(float(len(values)))[:, None] * np.ones((1, 6))
    return Null(1.0, place, Drawn(statistic, values, values, zeros, zeros), np.zeros(len(values)))


def test_an_anchor_is_judged_by_its_own_draws_each_by_the_others() -> None:
    """Two anchors whose draws lie far apart: neither knows of the other."""
    null = table(np.array([np.arange(11.0), 100 + np.arange(11.0)]))

    reference = null.looked_up(null.place)

    assert reference.is_anchor.all() and reference.anchor.tolist() == [0, 1]
    assert (reference.median == [[5], [105]]).all() and (reference.spread == 4).all()
    # The highest draw lies 5.5 above the median of the other ten, whose spread the neighbours' hold at 4.
    values = np.array([4.9, 5.1, 10.4, 10.6])
    beyond = null.p(np.array([values, values + 100]), reference)
    np.testing.assert_allclose(beyond[0, 2:], [3 / 23, 1 / 23])
    np.testing.assert_array_equal(beyond[0], beyond[1])
    assert 0.4 < beyond[0, 1] < 0.5 < beyond[0, 0] < 0.6


def test_others_are_judged_by_the_nearest_anchors_as_anchors_would_be_by_others() -> None:
    null = table(np.array([[0.0, 0, 1, 2, 2], [10, 10, 11, 12, 12]]))

    reference = null.looked_up(np.array([[0.0] * 6, [0.1] * 6, [0.5] * 6, [0.6] * 6]))

    assert reference.is_anchor.tolist() == [True, False, False, False]
    assert reference.median[0, 0] == 1 < reference.median[1, 0] < 3
    assert reference.median[2, 0] == pytest.approx(6) and reference.median[3, 0] > 6
    # As the draws of either anchor lie nine or more off the other's median, so may a cloud by chance.
    assert null.p(np.full((4, 4), 13.0), reference)[2, 0] > 0.4 > 0.1 > null.p(np.full((4, 4), 13.0), reference)[0, 0]


def test_anchors_are_spread_over_all_places() -> None:
    place = np.concatenate([np.zeros((50, 2)), [[9.0, 0]], [[0, 7.0]], np.full((50, 2), 0.1)])

    assert {50, 51} < set(spread_out(place, 3).tolist())
    assert sorted(spread_out(place[:4], 10).tolist()) == [0, 1, 2, 3]
    assert not len(spread_out(place[:0], 3))
