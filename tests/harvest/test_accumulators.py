"""What a pass keeps does not depend on how the corpus was cut, in which order its parts came, or whether it was interrupted."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import tiny
from atlas.activations.stream import BLOCK_ROWS, Tokens
from atlas.dictionary import Firings, Smixae
from atlas.dictionary.normalisation import KINDS, Normalisation
from atlas.errors import SumOverflow
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.accumulators import (
    BINS_PER_DOUBLING,
    FIXED_POINT,
    MOST_ROWS,
    N_BINS,
    Errors,
    NormHistogram,
    Totals,
    VocabularyCounts,
)
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.harvest import OBSERVED_ROWS
from atlas.harvest.mentions import Mentioned
from atlas.harvest.observed import Observed
from observations import (
    CPU,
    DOCUMENTS_OF_CHUNK,
    N_CHUNKS,
    N_VOCABULARY,
    THRESHOLD,
    WINDOW_TOKENS,
    Plan,
    batches,
    chunk,
    differing,
    documents,
    firings,
    planned,
    plans,
    stored,
)

D_IN = 4
N_WORDS = 3
SHAPES = pytest.mark.parametrize(("n_experts", "d_code"), [(1, 1), (5, 3), (5, 5), (300, 2)])


@cache
def smixae(n_experts: int, d_code: int) -> Smixae:
    return tiny.dictionary(D_IN, n_experts, 2, d_code)


@cache
def x(number: int, n_experts: int, d_code: int) -> torch.Tensor:
    """The rows of a chunk, with one of padding behind them."""
    n = len(chunk(number, n_experts, d_code).tokens.document)
    rows = torch.randn(n + 1, D_IN, generator=torch.Generator().manual_seed(number))
    rows[n] = 0.0
    return rows


@cache
def mentioned(number: int, n_experts: int, d_code: int) -> Mentioned:
    """Some of a chunk's tokens, as mentions of some words."""
    tokens = chunk(number, n_experts, d_code).tokens
    rows = torch.arange(0, len(tokens.document), 3)
    return Mentioned(tokens.document[rows], tokens.window[rows], tokens.position[rows], rows % N_WORDS)


def empty(n_experts: int, d_code: int) -> Accumulated:
    shape = Shape(n_experts, D_IN, d_code, THRESHOLD, WINDOW_TOKENS, WINDOW_TOKENS, N_VOCABULARY, N_WORDS, 1.0)
    config = HarvestConfig(sample=4, fired_tokens=6, top=2, token_sample=10, mentions=3)
    return Accumulated(shape, config, CPU)


def run_chunk(kept: Accumulated, number: int, seen: list[Observed], n_experts: int, d_code: int) -> None:
    tokens, fired = chunk(number, n_experts, d_code)
    kept.begin_chunk(documents(number), mentioned(number, n_experts, d_code))
    for batch in seen:
        kept.update(batch)
    kept.update_errors(x(number, n_experts, d_code), fired, tokens.held_out, smixae(n_experts, d_code))
    kept.close_chunk()


def one_pass(n_experts: int, d_code: int) -> Accumulated:
    kept = empty(n_experts, d_code)
    for number in range(N_CHUNKS):
        run_chunk(kept, number, batches(number, n_experts, d_code), n_experts, d_code)
    return kept


def by_hand(norms: list[float], *, expert: int = 0) -> Observed:
    """One token and one firing of `expert` for each norm, all in one document."""
    n = len(norms)
    zeros = torch.zeros(n, dtype=torch.int64)
    tokens = Tokens(zeros, zeros.int(), zeros.int(), zeros.int(), zeros, zeros == 0)
    values = torch.tensor(norms)
    return Observed(tokens, zeros, torch.arange(n), zeros + expert, values[:, None], values, zeros, values)


def totals_of_one(n_documents: int = 1) -> Totals:
    totals = Totals(1, 1, 0.0, 1, CPU)
    totals.begin_chunk(0, n_documents)
    return totals


# The whole, however it is cut


@SHAPES
@settings(deadline=None, max_examples=10)
@given(plan=plans())
def test_any_way_to_run_the_corpus_keeps_the_same_bits(n_experts: int, d_code: int, plan: Plan) -> None:
    """Batches of any size in any order, on three machines, saved and read again, merged in any order."""
    parts = []
    for numbers in plan.parts:
        kept = empty(n_experts, d_code)
        for number in numbers:
            run_chunk(kept, number, planned(plan, number, n_experts, d_code), n_experts, d_code)
            if number in plan.saved:
                state, kept = stored(kept.state()), empty(n_experts, d_code)
                kept.restore(state)
        parts.append(kept)
    first, second, third = parts
    if plan.nested:
        third.merge(second)
        third.merge(first)
        first = third
    else:
        first.merge(second)
        first.merge(third)

    assert differing(first.state(), one_pass(n_experts, d_code).state()) == []


@SHAPES
def test_a_part_that_saw_nothing_merges_into_nothing_new(n_experts: int, d_code: int) -> None:
    kept = empty(n_experts, d_code)

    kept.merge(one_pass(n_experts, d_code))
    kept.merge(empty(n_experts, d_code))

    assert differing(kept.state(), one_pass(n_experts, d_code).state()) == []


def test_state_names_what_each_tensor_is_of() -> None:
    parts = {name.partition(".")[0] for name in one_pass(5, 3).state()}

    assert parts == {name for name in vars(empty(5, 3)) if not name.startswith("_")}
    assert all(name.count(".") == 1 for name in one_pass(5, 3).state())


# Totals


@SHAPES
def test_totals_equal_naive_sums(n_experts: int, d_code: int) -> None:
    totals = one_pass(n_experts, d_code).totals
    sums = {name: value.numpy() for name, value in totals.sums.items()}
    every = firings(n_experts, d_code)
    tokens = [chunk(number, n_experts, d_code).tokens for number in range(N_CHUNKS)]
    positions = [position for one in tokens for position in one.position.tolist()]

    n_ranges = len(sums["position_tokens"])
    assert sums["tokens"].tolist() == [len(positions)]
    assert sums["held_out_tokens"].tolist() == [sum(int(one.held_out.sum()) for one in tokens)]
    assert sums["documents"].tolist() == [N_CHUNKS * DOCUMENTS_OF_CHUNK]
    assert sums["position_tokens"].tolist() == [sum(p.bit_length() == i for p in positions) for i in range(n_ranges)]
    for expert in range(n_experts):
        own = [firing for firing in every if firing.expert == expert]
        at = [firing.position.bit_length() for firing in own]
        assert sums["firings"][expert] == len(own)
        assert sums["held_out_firings"][expert] == sum(firing.held_out for firing in own)
        assert sums["documents_fired"][expert] == len({firing.document for firing in own})
        assert sums["positions_fired"][expert].tolist() == [at.count(i) for i in range(n_ranges)]
        assert totals.max_norm[expert] == max((firing.norm for firing in own), default=0.0)


@SHAPES
def test_moments_are_sums_over_firings_in_units_of_the_threshold(n_experts: int, d_code: int) -> None:
    found = one_pass(n_experts, d_code).totals.sums["moments"].numpy() / FIXED_POINT

    row, column = np.triu_indices(d_code)
    for expert in range(n_experts):
        own = [firing for firing in firings(n_experts, d_code) if firing.expert == expert]
        code = np.array([firing.code for firing in own]).reshape(-1, d_code) / THRESHOLD
        norm = np.array([firing.norm for firing in own])[:, None] / THRESHOLD
        terms = np.concatenate([norm, code, code[:, row] * code[:, column]], axis=1)
        # Each term is rounded to fixed point, and to float32 before.
        tolerance = len(own) * 0.5 / FIXED_POINT + np.abs(terms).sum(axis=0) * 3e-7
        assert (np.abs(found[expert] - terms.sum(axis=0)) <= tolerance).all()


def test_a_document_counts_once_in_however_many_batches_it_comes() -> None:
    totals = totals_of_one(n_documents=3)
    for _ in range(4):
        totals.update(by_hand([1.0, 2.0]))

    totals.close_chunk()

    assert totals.sums["documents"].tolist() == totals.sums["documents_fired"].tolist() == [1], "of the other two no token came"


@pytest.mark.parametrize(("window_tokens", "ranges"), [(1, 1), (2, 2), (4, 3), (9, 5), (128, 8), (129, 9)])
def test_every_position_of_a_window_has_a_range(window_tokens: int, ranges: int) -> None:
    totals = Totals(1, 1, 1.0, window_tokens, CPU)
    totals.begin_chunk(0, 1)
    seen = by_hand([1.0] * window_tokens)
    tokens = seen.tokens._replace(position=torch.arange(window_tokens).int())

    totals.update(seen._replace(tokens=tokens))

    counts = totals.sums["position_tokens"].tolist()
    assert counts[0] == 1 and sum(counts) == window_tokens
    assert sum(count > 0 for count in counts) == ranges
    assert totals.sums["positions_fired"].tolist() == [counts]


# Sums that do not fit


@pytest.mark.parametrize("value", [2.0**30, -(2.0**30), float("inf")], ids=["large", "negative", "infinite"])
def test_a_value_that_no_sum_could_hold_is_refused_when_the_chunk_is_closed(value: float) -> None:
    totals = totals_of_one()
    totals.update(by_hand([value]))

    with pytest.raises(SumOverflow, match="A sum of the harvest left its 64 bits: codes or activations are too large"):
        totals.close_chunk()


def test_a_sum_beyond_64_bits_is_refused_even_if_it_comes_back() -> None:
    totals = totals_of_one()
    totals.sums["moments"][0, 0] = 2**62 - FIXED_POINT
    totals.update(by_hand([0.5]))
    totals.require_room()

    totals.update(by_hand([0.5]))
    totals.update(by_hand([-7.0]))

    with pytest.raises(SumOverflow, match="A sum of the harvest left its 64 bits"):
        totals.close_chunk()


@pytest.mark.parametrize("half", [2**61, -(2**61), 2**62 - 1])
def test_parts_that_fit_alone_and_not_together_are_refused(half: int) -> None:
    a, b = totals_of_one(), totals_of_one()
    a.sums["moments"][0, 0] = b.sums["moments"][0, 0] = half

    with pytest.raises(SumOverflow, match="A sum of the harvest left its 64 bits"):
        a.merge(b)


def test_no_batch_has_more_rows_than_sums_have_room_for() -> None:
    # A batch is handed on as soon as it has so many rows; the block that brings it there may be whole.
    assert OBSERVED_ROWS + max(BLOCK_ROWS.values()) <= MOST_ROWS

    largest = np.nextafter(np.float32(2**62 // MOST_ROWS / FIXED_POINT), np.float32(0))
    errors = Errors(1, 1, 1, CPU)
    errors.add("gain", errors.fixed(torch.full((MOST_ROWS,), float(largest))).sum(dim=0, keepdim=True))
    errors.require_room()
    assert values(errors)["gain"][0] * FIXED_POINT == MOST_ROWS * int(float(largest) * FIXED_POINT)


@pytest.mark.parametrize("length", [48.0, 3000.0, 20_480.0], ids=["usual", "first token of GPT-2", "massive"])
def test_rows_as_long_as_real_models_have_them_are_summed(length: float) -> None:
    """Some tokens' rows are a hundred times longer than the others (Sun et al. 2024, "Massive Activations")."""
    row = torch.zeros(1, D_IN)
    row[0, 1] = length
    errors = Errors(5, D_IN, 3, CPU)
    none = Firings(*(column[:0] for column in chunk(0, 5, 3).firings))

    errors.update(row, none, torch.tensor([True]), smixae(5, 3))
    others = Errors(5, D_IN, 3, CPU)
    others.restore(stored(errors.state()))
    for _ in range(21):
        doubled = Errors(5, D_IN, 3, CPU)
        doubled.restore(stored(others.state()))
        others.merge(doubled)

    errors.require_room()
    assert values(errors)["x_squared"].tolist() == [length**2]
    assert values(others)["x_squared"].tolist() == [2**21 * length**2], "a million such rows leave 64 bits"


def values(errors: Errors) -> dict[str, np.ndarray]:
    return Errors.values({name: value.numpy() for name, value in errors.sums.items()})


def test_sums_that_are_equal_are_equal_numbers_wherever_they_were_carried() -> None:
    a, b = Errors(2, D_IN, 1, CPU), Errors(2, D_IN, 1, CPU)
    for part in (2**41, -(2**40) - 5, 3):
        a.add("gain", torch.tensor([part, -part]))
    b.add("gain", torch.tensor([2**40 - 2, -(2**40) + 2]))

    assert {name: value.tolist() for name, value in a.sums.items()} == {name: value.tolist() for name, value in b.sums.items()}
    assert values(a)["gain"].tolist() == [(2**40 - 2) / FIXED_POINT, (2 - 2**40) / FIXED_POINT]


# Errors


def block_of_rows(kind: Any, rescale: bool) -> tuple[Smixae, torch.Tensor, Firings, torch.Tensor]:
    """Rows of very different length, the last few of them padding on which experts fire too, and two thirds of them held out."""
    plain = tiny.dictionary(n_experts=5, threshold=1.0, rescale=rescale)
    factor = 0.4 if kind == "expected_average_only_in" else 1.0
    dictionary = Smixae(plain.config, plain.weights, plain.threshold, Normalisation(kind, factor))
    rows = torch.randn(64, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))
    rows = rows * (torch.arange(64) % 5 + 1)[:, None] / factor
    return dictionary, rows, dictionary.firings(rows), torch.arange(60) % 3 > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "plain"])
def test_gain_is_how_much_the_error_grows_without_the_expert(rescale: bool, kind: Any) -> None:
    dictionary, rows, fired, held_out = block_of_rows(kind, rescale)
    errors = Errors(5, tiny.D_MODEL, 3, CPU)

    errors.update(rows, fired, held_out, dictionary)

    here = held_out.nonzero()[:, 0]
    encoding = dictionary.encode(rows).double()
    scale, shift = dictionary.row_scale(rows).double(), dictionary.normalisation.shift(rows).double()

    def error(without: int | None) -> float:
        code = encoding.clone()
        if without is not None:
            code[:, without] = 0.0
        rebuilt = torch.einsum("tec,ecd->td", code, dictionary.decoder.double()) + dictionary.bias.double()
        return float((rows.double() - rebuilt * scale[:, None] - shift[:, None])[here].square().sum())

    sums = Errors.values({name: value.numpy() for name, value in errors.sums.items()})
    grown = [error(expert) - error(None) for expert in range(5)]
    assert int(errors.sums["tokens"]) == 40
    assert min(map(abs, grown)) > 0
    np.testing.assert_allclose(sums["gain"], grown, rtol=1e-4, atol=1e-5 * max(map(abs, grown)))
    np.testing.assert_allclose(sums["residual_squared"], [error(None)], rtol=1e-5)
    np.testing.assert_allclose(sums["x_squared"], [float(rows[here].double().square().sum())], rtol=1e-6)
    np.testing.assert_allclose(sums["x"], rows[here].double().sum(dim=0), atol=40 * 0.5 / FIXED_POINT)


def test_rows_of_any_scale_are_summed_alike() -> None:
    """The unit is a power of two, so that dividing by it costs no bit."""
    dictionary, rows, fired, held_out = block_of_rows("none", True)
    sums = []
    for scale in (1.0, 2.0**-12, 2.0**15):
        weights = dictionary.weights._replace(
            W_enc=dictionary.weights.W_enc / scale, W_dec=dictionary.weights.W_dec, b_dec=dictionary.weights.b_dec * scale
        )
        scaled = Smixae(dictionary.config, weights, dictionary.threshold)
        # Half of the decoder's scale goes into the codes, as in a fold.
        errors = Errors(5, tiny.D_MODEL, 3, CPU, threshold=scale, unit=scale)
        errors.update(rows * scale, Firings(fired.token, fired.expert, fired.code * scale), held_out, scaled)
        sums.append({name: value.tolist() for name, value in errors.sums.items()})

    assert sums[0] == sums[1] == sums[2]


def test_rows_that_are_not_held_out_count_nowhere() -> None:
    dictionary, rows, fired, held_out = block_of_rows("none", True)
    errors = Errors(5, tiny.D_MODEL, 3, CPU)

    errors.update(rows, fired, torch.zeros_like(held_out), dictionary)

    assert not any(value.any() for value in errors.sums.values())


def test_what_stands_in_padding_rows_makes_no_difference() -> None:
    dictionary, rows, fired, held_out = block_of_rows("layer_norm", True)
    found = []
    for real in (slice(0, 60), slice(0, 64)):
        errors = Errors(5, tiny.D_MODEL, 3, CPU)
        here = fired.token < real.stop
        errors.update(rows[real], Firings(*(column[here] for column in fired)), held_out, dictionary)
        found.append(errors.state())

    assert int(fired.token.max()) >= 60
    assert differing(*found) == []


# Histogram


@pytest.mark.parametrize(
    ("times_threshold", "expected"),
    [
        (1.0001, 0),
        (1.09, 0),  # 2^(1/8) is 1.0905
        (1.0906, 1),
        (1.5, 4),  # 8 · log2(1.5) is 4.68
        (1.9999, 7),
        (2.0, 8),
        (4.0, 16),
        (255.9, 63),
        (256.0, 63),
        (1e6, 63),
    ],
)
@pytest.mark.parametrize("threshold", [0.5, float(np.float32(0.6)), float(np.float32(2.71))], ids="threshold {:.2f}".format)
def test_norm_falls_in_its_bin(threshold: float, times_threshold: float, expected: int) -> None:
    histogram = NormHistogram(2, threshold, CPU)

    # More values than one vector register holds, for torch takes another road to a logarithm there.
    histogram.update(by_hand([times_threshold * threshold] * 19, expert=1))

    assert histogram.counts[0].sum() == 0
    assert histogram.counts[1].nonzero().flatten().tolist() == [expected]
    assert histogram.counts[1, expected] == 19


@SHAPES
def test_histogram_counts_every_firing_in_its_bin(n_experts: int, d_code: int) -> None:
    expected = np.zeros((n_experts, N_BINS), dtype=np.int64)
    for firing in firings(n_experts, d_code):
        expected[firing.expert, min(N_BINS - 1, int(np.floor(BINS_PER_DOUBLING * np.log2(firing.norm / THRESHOLD))))] += 1

    assert (one_pass(n_experts, d_code).histogram.counts.numpy() == expected).all()


def test_without_a_threshold_every_norm_is_in_the_first_bin() -> None:
    histogram = NormHistogram(1, 0.0, CPU)

    histogram.update(by_hand([0.1, 5.0]))

    assert histogram.counts[0, 0] == 2


# Vocabulary


@SHAPES
def test_vocabulary_counts_every_occurrence_of_a_token(n_experts: int, d_code: int) -> None:
    counts = one_pass(n_experts, d_code).vocabulary.counts

    ids = [token for number in range(N_CHUNKS) for token in chunk(number, n_experts, d_code).tokens.token_id.tolist()]
    assert counts.tolist() == [ids.count(token) for token in range(N_VOCABULARY)]


def test_vocabulary_of_two_parts_adds_up() -> None:
    parts = [VocabularyCounts(N_VOCABULARY, CPU) for _ in range(2)]
    for part in parts:
        part.update(batches(0, 5, 3)[0])

    parts[0].merge(parts[1])

    assert torch.equal(parts[0].counts, 2 * parts[1].counts)
