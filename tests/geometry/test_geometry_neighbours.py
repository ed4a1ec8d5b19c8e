"""Neighbours by what experts write and read, and by the words around their firings, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.geometry import neighbours, similarity
from atlas.geometry.neighbours import CONTEXT_REACH, Strongest, context_overlaps, output_maps, overlaps
from atlas.geometry.similarity import Sampled
from atlas.stages import Ragged

ROUNDED = 2e-5


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK_EXPERTS", 16)


def experts(n: int, d_code: int, d_in: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Decoders of which some lie close to one another, and the moments of codes that are not centred."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(4, d_code, d_in))
    decoder = shared[rng.integers(0, 4, n)] + rng.uniform(0.2, 2, n)[:, None, None] * rng.normal(size=(n, d_code, d_in))
    mixing = rng.normal(size=(n, d_code, d_code))
    return torch.from_numpy(decoder.astype(np.float32)), rng.normal(size=(n, d_code)), mixing @ mixing.transpose(0, 2, 1)


def slow_overlap(decoder: torch.Tensor, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """tr(M_i G_ij M_j G_ijᵀ) over the root of the two of i with i and j with j, pair by pair in float64."""
    maps = decoder.numpy().astype(np.float64)
    moment = [np.outer(m, m) + c for m, c in zip(mean, covariance, strict=True)]

    def shared(i: int, j: int) -> float:
        gram = maps[i] @ maps[j].T
        return float(np.trace(moment[i] @ gram @ moment[j] @ gram.T))

    n = len(maps)
    return np.array([[shared(i, j) / np.sqrt(shared(i, i) * shared(j, j)) for j in range(n)] for i in range(n)])


def of_expert(found: Strongest, expert: int) -> dict[int, float]:
    mine = found.expert == expert
    return dict(zip(found.neighbour[mine].tolist(), found.value[mine].tolist(), strict=True))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("d_code", "d_in"), [(1, 6), (3, 20), (5, 12)])
def test_output_overlap_is_that_of_a_plain_loop(d_code: int, d_in: int) -> None:
    given_ = experts(53, d_code, d_in)
    expected = slow_overlap(*given_)
    np.fill_diagonal(expected, -1)

    found = overlaps(output_maps(*given_))

    for expert in range(53):
        mine = of_expert(found, expert)
        nearest = np.sort(expected[expert])[::-1][:20]
        np.testing.assert_allclose(list(mine.values()), nearest, atol=ROUNDED)
        np.testing.assert_allclose(list(mine.values()), expected[expert][list(mine)], atol=ROUNDED)
    assert found.rank.tolist() == list(range(20)) * 53 and (np.diff(found.expert) >= 0).all()


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = output_maps(*experts(70, 3, 16))
    whole = overlaps(maps)
    monkeypatch.setattr(similarity, "BLOCK_EXPERTS", 32)
    heard: list[tuple[int, int]] = []

    blocked = overlaps(maps, lambda done, of: heard.append((done, of)))

    for one, other in zip(whole, blocked, strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDED)
    assert heard == [(done, 6) for done in range(1, 7)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(-12, 12), st.floats(-30, 30))
def test_overlap_is_a_share_whatever_the_units(seed: int, d_code: int, decoder_scale: float, code_scale: float) -> None:
    decoder, mean, covariance = experts(9, d_code, 5, seed)
    scale = 10**code_scale
    found = overlaps(output_maps(decoder * 10**decoder_scale, mean * scale, covariance * scale**2))

    # What rounds to 0 is no neighbour.
    assert 60 <= len(found.value) <= 9 * 8
    assert (found.value > 0).all() and (found.value <= 1).all()


def test_a_turned_copy_overlaps_wholly() -> None:
    """Axes of a code are arbitrary: D′ = R·D with codes z·Rᵀ writes the same."""
    decoder, mean, covariance = experts(6, 3, 30)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    decoder[5] = torch.from_numpy(turn.astype(np.float32)) @ decoder[2]
    mean[5], covariance[5] = turn @ mean[2], turn @ covariance[2] @ turn.T

    found = overlaps(output_maps(decoder, mean, covariance))

    assert list(of_expert(found, 2).items())[0] == (5, 1.0)
    assert list(of_expert(found, 5).items())[0] == (2, 1.0)


def test_one_row_overlaps_by_the_square_of_its_cosine() -> None:
    angle = np.radians([0, 30, 90])
    maps = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None, :].astype(np.float32))

    found = overlaps(maps)

    assert of_expert(found, 0) == {1: pytest.approx(0.75, abs=ROUNDED)}
    assert of_expert(found, 2) == {1: pytest.approx(0.25, abs=ROUNDED)}


def test_a_direction_that_is_not_used_is_not_shared() -> None:
    """Both can write along the first axis, but the second expert's codes never do."""
    decoder = torch.eye(2)[None].repeat(2, 1, 1)
    covariance = np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])])

    assert not len(overlaps(output_maps(decoder, np.zeros((2, 2)), covariance)).expert)


@pytest.mark.parametrize("broken", ["silent", "no decoder", "NaN in the decoder", "infinite code", "infinite variance"])
def test_experts_that_say_nothing_have_no_neighbours(broken: str) -> None:
    decoder, mean, covariance = experts(8, 3, 10)
    if broken == "silent":
        mean[3], covariance[3] = np.nan, np.nan
    elif broken == "infinite code":
        mean[3, 0] = np.inf
    elif broken == "infinite variance":
        covariance[3, 1, 1] = np.inf
    else:
        decoder[3] = 0 if broken == "no decoder" else torch.nan

    for found in (
        overlaps(output_maps(decoder, mean, covariance)),
        overlaps(output_maps(decoder, mean, covariance).nan_to_num()),
    ):
        assert 3 not in found.expert and 3 not in found.neighbour
        assert np.isfinite(found.value).all() and set(found.expert) == {0, 1, 2, 4, 5, 6, 7}


@pytest.mark.usefixtures("small_blocks")
def test_equals_come_by_number() -> None:
    decoder, mean, covariance = experts(1, 3, 10)
    found = overlaps(output_maps(decoder.repeat(40, 1, 1), mean.repeat(40, axis=0), covariance.repeat(40, axis=0)))

    assert (found.value == 1).all()
    assert list(of_expert(found, 30)) == list(range(20))
    assert list(of_expert(found, 7)) == [0, 1, 2, 3, 4, 5, 6, *range(8, 21)]


def test_a_single_expert_has_no_neighbours() -> None:
    assert not len(overlaps(output_maps(*experts(1, 3, 10))).expert)


def corpus(rng: np.random.Generator, n_windows: int, vocabulary: int) -> Ragged:
    lengths = rng.integers(1, 30, n_windows)
    return Ragged(rng.zipf(1.5, lengths.sum()).astype(np.int32) % vocabulary * 7, np.concatenate([[0], np.cumsum(lengths)]))


def sampled(rng: np.random.Generator, windows: Ragged, rates: np.ndarray, n: int) -> Sampled:
    window = rng.integers(0, len(windows.offsets) - 1, n)
    position = (rng.random(n) * np.diff(windows.offsets)[window]).astype(np.int32)
    token, expert = np.nonzero(rng.random((n, len(rates))) < rates)
    return Sampled(window.astype(np.int32), position, token.astype(np.int32), expert.astype(np.int32))


def around(windows: list[list[int]], window: int, position: int) -> list[int]:
    words = windows[window]
    return [words[i] for i in range(position - 5, position + 6) if i != position and 0 <= i < len(words)]


def slow_context(windows: Ragged, sample: Sampled, dense: np.ndarray) -> np.ndarray:
    """Cosine of √share · ln lift over the words around firings, word by word."""
    rows = windows.rows()
    contexts = [around(rows, w, p) for w, p in zip(sample.window.tolist(), sample.position.tolist(), strict=True)]
    everywhere = [word for context in contexts for word in context]
    weights = []
    for expert in range(len(dense)):
        fired = sample.token[sample.expert == expert]
        near = [word for token in fired for word in contexts[token]] if len(fired) >= 20 and not dense[expert] else []
        weight = {}
        for word in set(near):
            base = everywhere.count(word) / len(everywhere)
            lift = (near.count(word) + 20 * base) / (len(near) + 20) / base
            weight[word] = np.sqrt(near.count(word) / len(near)) * max(np.log(lift), 0)
        weights.append(weight)
    cosine = np.zeros((len(dense), len(dense)))
    for i, one in enumerate(weights):
        for j, other in enumerate(weights):
            both = sum(one[word] * other[word] for word in set(one) & set(other))
            lengths = np.sqrt(sum(v * v for v in one.values()) * sum(v * v for v in other.values()))
            cosine[i, j] = both / lengths if lengths else 0
    return cosine


@pytest.mark.usefixtures("small_blocks")
def test_context_overlap_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    windows = corpus(rng, 60, 40)
    rates = rng.uniform(0.02, 0.3, 25)
    sample = sampled(rng, windows, rates, 300)
    dense = rates > 0.25
    expected = slow_context(windows, sample, dense)
    np.fill_diagonal(expected, 0)

    found = context_overlaps(windows, sample, dense)

    assert dense.any() and (np.bincount(sample.expert) < 20).any() and len(found.expert) > 100
    for expert in range(25):
        mine = of_expert(found, expert)
        nearest = np.sort(expected[expert])[::-1][:20]
        np.testing.assert_allclose(list(mine.values()), nearest[nearest > 5e-6], atol=ROUNDED)
        np.testing.assert_allclose(list(mine.values()), expected[expert][list(mine)], atol=ROUNDED)


def test_experts_of_the_same_surroundings_are_near_without_firing_together() -> None:
    """Two fire on different words of a kind of sentence, the third on the same words as the first but in another kind."""
    rng = np.random.default_rng(0)
    kinds = [np.arange(100, 120), np.arange(200, 220)]
    rows = [rng.choice(kinds[window % 2], 11) for window in range(240)]
    words = [1, 2, 1]
    for window, row in enumerate(rows):
        row[5] = words[window // 2 % 2] if window % 2 == 0 else words[2]
    expert = np.array([window // 2 % 2 if window % 2 == 0 else 2 for window in range(240)])
    windows = Ragged(np.concatenate(rows).astype(np.int32), np.arange(241) * 11)
    sample = Sampled(np.arange(240), np.full(240, 5), np.arange(240), expert)

    found = context_overlaps(windows, sample, np.zeros(3, dtype=bool))

    near = of_expert(found, 0)
    assert near[1] > 0.8 and near.get(2, 0.0) < 0.1


def test_contexts_end_with_their_window_and_need_enough_firings() -> None:
    """Every firing is the only word of its window: there is nothing around any."""
    windows = Ragged(np.arange(50, dtype=np.int32), np.arange(51))
    alone = Sampled(np.arange(50), np.zeros(50, dtype=int), np.repeat(np.arange(50), 2), np.tile([0, 1], 50))
    assert CONTEXT_REACH == 5 and neighbours.LEAST_FIRINGS == 20
    assert not len(context_overlaps(windows, alone, np.zeros(2, dtype=bool)).expert)

    rng = np.random.default_rng(0)
    windows = corpus(rng, 30, 50)
    few = sampled(rng, windows, np.ones(2), 25)
    assert (np.bincount(few.expert) == 25).all()
    few = few._replace(expert=few.expert[few.token < 20], token=few.token[few.token < 20])
    assert of_expert(context_overlaps(windows, few, np.zeros(2, dtype=bool)), 0) == {1: 1.0}
    fewer = few._replace(expert=few.expert[few.token < 19], token=few.token[few.token < 19])
    assert not len(context_overlaps(windows, fewer, np.zeros(2, dtype=bool)).expert)


def test_no_sample_gives_no_contexts() -> None:
    none = np.zeros(0, dtype=np.int32)
    found = context_overlaps(Ragged(none, np.zeros(1, dtype=np.int64)), Sampled(none, none, none, none), np.zeros(4, dtype=bool))
    assert not len(found.expert)
