"""Drawn coordinates keep the residual stream's distances, on principal axes that a sample determines."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.geometry.contribution import axes, coordinates, frames

N_EXPERTS, D_IN = 4, 10


def sample(d_code: int, n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decoders, and firings with skewed codes that are not centred; the last expert never fires."""
    rng = np.random.default_rng(d_code)
    decoder = rng.normal(size=(N_EXPERTS, d_code, D_IN)).astype(np.float32)
    expert = rng.integers(0, N_EXPERTS - 1, n).astype(np.int32)
    mixing = rng.normal(size=(d_code, d_code))
    code = (rng.exponential(size=(n, d_code)) @ mixing + 1).astype(np.float32)
    return decoder, expert, code


def gram(decoder: np.ndarray) -> np.ndarray:
    """D·Dᵀ of each expert, in float64."""
    wide = decoder.astype(np.float64)
    return wide @ wide.transpose(0, 2, 1)


def written(decoder: np.ndarray, expert: np.ndarray, code: np.ndarray) -> np.ndarray:
    """z·D of each firing: what the residual stream gets."""
    return np.array([z.astype(np.float64) @ decoder[e] for e, z in zip(expert, code, strict=True)])


def drawn(decoder: np.ndarray, expert: np.ndarray, code: np.ndarray) -> np.ndarray:
    return coordinates(frames(gram(decoder), expert, code), expert, code)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@pytest.mark.parametrize("d_code", [1, 2, 3])
def test_distances_are_those_in_the_residual_stream(d_code: int) -> None:
    decoder, expert, code = sample(d_code)
    added, points = written(decoder, expert, code), drawn(decoder, expert, code)

    for e in range(N_EXPERTS - 1):
        np.testing.assert_allclose(distances(points[expert == e]), distances(added[expert == e]), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(added, axis=1), atol=1e-4)
    assert not points[:, d_code:].any() and points.dtype == np.float32


def test_wider_codes_are_drawn_on_the_three_widest_axes() -> None:
    decoder, expert, code = sample(d_code=5)
    added, points = written(decoder, expert, code), drawn(decoder, expert, code)

    assert (np.square(points).sum(axis=1) <= np.square(added).sum(axis=1) * (1 + 1e-5)).all()
    for e in range(N_EXPERTS - 1):
        widest = np.linalg.eigvalsh(np.cov(added[expert == e].T))[::-1][:3]
        np.testing.assert_allclose(points[expert == e].var(axis=0, ddof=1), widest, rtol=1e-4)


@pytest.mark.parametrize("d_code", [2, 3, 5])
def test_axes_are_uncorrelated_and_sorted_by_variance(d_code: int) -> None:
    decoder, expert, code = sample(d_code)
    points = drawn(decoder, expert, code).astype(np.float64)[:, : min(d_code, 3)]

    for e in range(N_EXPERTS - 1):
        covariance = np.cov(points[expert == e].T)
        variance = np.diag(covariance)
        assert (np.diff(variance) < 0).all()
        np.testing.assert_allclose(covariance, np.diag(variance), atol=1e-4 * variance[0])


@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_axes_point_where_the_sample_is_skewed_to(d_code: int) -> None:
    decoder, expert, code = sample(d_code)
    points = drawn(decoder, expert, code).astype(np.float64)[:, : min(d_code, 3)]

    skew = [((points[expert == e] - points[expert == e].mean(axis=0)) ** 3).sum(axis=0) for e in range(N_EXPERTS - 1)]

    assert (np.array(skew) > 0).all()


@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_all_axes_carry_all_that_is_written(d_code: int) -> None:
    """Each has its own variance, widest first, and together they keep every distance."""
    decoder, expert, code = sample(d_code)
    added = written(decoder, expert, code)

    found = axes(gram(decoder), expert, code)

    assert found.code.shape == (N_EXPERTS, d_code, d_code) and found.variance.shape == (N_EXPERTS, d_code)
    for e in range(N_EXPERTS - 1):
        own = expert == e
        places = code[own] @ found.code[e]
        np.testing.assert_allclose(places.var(axis=0), found.variance[e], rtol=1e-6)
        np.testing.assert_allclose(
            found.variance[e], np.linalg.eigvalsh(np.cov(added[own].T, bias=True))[::-1][:d_code], rtol=1e-6
        )
        np.testing.assert_allclose(distances(places), distances(added[own]), atol=1e-4)
    np.testing.assert_array_equal(frames(gram(decoder), expert, code)[:, :, :d_code], found.code[:, :, :3])
    assert found.variance[-1].tolist() == [0] * d_code


@pytest.mark.parametrize("n_firings", [0, 1, 3, 50], ids="{} alike".format)
@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_firings_that_are_all_alike_vary_along_no_axis(d_code: int, n_firings: int) -> None:
    """The axes are then the decoder's own, the strongest first."""
    decoder, expert, code = sample(d_code)
    alike = np.repeat(code[:1] + 0.1, n_firings, axis=0)

    found = axes(gram(decoder), np.full(n_firings, 2), alike)

    assert found.variance.tolist() == [[0] * d_code] * N_EXPERTS
    strength = np.linalg.svd(decoder.astype(np.float64))[1]
    np.testing.assert_allclose(np.linalg.norm(found.code, axis=1), strength, rtol=1e-6)


@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_expert_that_writes_nothing_varies_along_no_axis(d_code: int) -> None:
    decoder, expert, code = sample(d_code)
    decoder[1] = 0

    found = axes(gram(decoder), expert, code)

    assert not found.code[1].any() and not found.variance[1].any()
    assert (found.variance[0] > 0).all()


def test_coordinates_do_not_depend_on_how_the_code_is_turned() -> None:
    decoder, expert, code = sample(d_code=3)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))[0]

    turned = drawn((turn.T @ decoder).astype(np.float32), expert, (code @ turn).astype(np.float32))

    np.testing.assert_allclose(turned, drawn(decoder, expert, code), atol=1e-3)


def test_coordinates_are_linear_in_the_code() -> None:
    decoder, expert, code = sample(d_code=3)
    frame = frames(gram(decoder), expert, code)

    assert not coordinates(frame, expert, np.zeros_like(code)).any()
    np.testing.assert_allclose(coordinates(frame, expert, 2 * code), 2 * coordinates(frame, expert, code), rtol=1e-5)


@pytest.mark.parametrize("n_firings", [0, 1, 3], ids=["none", "one", "three that are the same"])
@pytest.mark.parametrize("d_code", [1, 2, 3])
def test_expert_without_a_spread_keeps_the_distances(d_code: int, n_firings: int) -> None:
    decoder, expert, code = sample(d_code)
    silent = np.full(n_firings, N_EXPERTS - 1, dtype=np.int32)
    frame = frames(
        gram(decoder), np.concatenate([expert, silent]), np.concatenate([code, np.repeat(code[:1], n_firings, axis=0)])
    )

    other = np.full(len(code), N_EXPERTS - 1)
    points = coordinates(frame, other, code)

    assert np.isfinite(frame).all()
    np.testing.assert_allclose(distances(points), distances(written(decoder, other, code)), atol=1e-4)


def test_dictionary_without_any_firing_has_frames_too() -> None:
    decoder, expert, code = sample(d_code=3)

    frame = frames(gram(decoder), expert[:0], code[:0])

    points = coordinates(frame, expert, code)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(written(decoder, expert, code), axis=1), atol=1e-4)


@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_expert_that_writes_nothing_is_drawn_at_the_origin(d_code: int) -> None:
    decoder, expert, code = sample(d_code)
    decoder[1] = 0

    points = drawn(decoder, expert, code)

    assert np.isfinite(points).all()
    assert not points[expert == 1].any() and points[expert == 0].any()


def test_decoder_of_lower_rank_gives_finite_coordinates() -> None:
    decoder, expert, code = sample(d_code=3)
    decoder[1, 2] = decoder[1, 0] + decoder[1, 1]

    points = drawn(decoder, expert, code)

    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(written(decoder, expert, code), axis=1), atol=1e-4)
    np.testing.assert_allclose(points[expert == 1][:, 2], 0, atol=1e-4)
