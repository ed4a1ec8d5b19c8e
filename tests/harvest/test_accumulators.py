"""What a pass keeps does not depend on how the corpus was cut, in which order its parts came, or whether it was interrupted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import tiny
from atlas.activations.stream import Tokens
from atlas.dictionary import Smixae
from atlas.dictionary.normalisation import KINDS, Normalisation
from atlas.errors import SumOverflow
from atlas.harvest.accumulators import (
    BINS_PER_DOUBLING,
    FIXED_POINT,
    N_BINS,
    Accumulators,
    FiringSample,
    Kept,
    NormHistogram,
    Observed,
    TopFirings,
    Totals,
    VocabularyCounts,
    observe,
    ranks,
)

N_EXPERTS = 5
N_VOCABULARY = 12
BLOCK_ROWS, REAL_ROWS = 24, 20
N_BLOCKS = 7
SAMPLE, TOP = 6, 3
CPU = torch.device("cpu")


@cache
def smixae() -> Smixae:
    return tiny.dictionary(n_experts=N_EXPERTS, threshold=1.0)


@cache
def block(number: int) -> tuple[torch.Tensor, Tokens]:
    """Rows and tokens of one block; a few window contents come again and again, padding rows are zero."""
    rng = np.random.default_rng(number)
    x = torch.zeros(BLOCK_ROWS, tiny.D_MODEL)
    x[:REAL_ROWS] = torch.from_numpy(rng.standard_normal((REAL_ROWS, tiny.D_MODEL)))

    def column(values: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values)).to(dtype)

    return x, Tokens(
        document=column(np.repeat([2 * number, 2 * number + 1], REAL_ROWS // 2), torch.int64),
        window=column(np.tile(np.repeat([0, 1], REAL_ROWS // 4), 2), torch.int32),
        position=column(np.tile(np.arange(REAL_ROWS // 4), 4), torch.int32),
        token_id=column(rng.integers(0, N_VOCABULARY, REAL_ROWS), torch.int32),
        content=column(np.repeat(rng.integers(0, 6, 4), REAL_ROWS // 4), torch.int64),
        held_out=column(np.repeat([True, number % 2 == 0], REAL_ROWS // 2), torch.bool),
    )


@cache
def seen(number: int) -> Observed:
    """One block, its norms rounded so that many firings tie."""
    x, tokens = block(number)
    observed = observe(x, smixae().firings(x), tokens, smixae(), 0, "docs")
    return observed._replace(norm=(observed.norm * 4).round() / 4)


def empty() -> Accumulators:
    return Accumulators.empty(smixae(), N_VOCABULARY, SAMPLE, TOP)


def one_pass(numbers: Sequence[int]) -> Accumulators:
    kept = empty()
    for number in numbers:
        kept.update(seen(number))
    return kept


def assert_same(a: Accumulators, b: Accumulators) -> None:
    states = a.state(), b.state()
    assert states[0].keys() == states[1].keys()
    differ = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    assert differ == []


def firings() -> list[dict[str, Any]]:
    """Every firing of every block, as records."""
    return [
        {
            "expert": int(one.expert[i]),
            "key": int(one.key[i]),
            "norm": float(one.norm[i]),
            "content": int(one.tokens.content[one.row[i]]),
            "document": int(one.tokens.document[one.row[i]]),
            "window": int(one.tokens.window[one.row[i]]),
            "position": int(one.tokens.position[one.row[i]]),
            "token_id": int(one.tokens.token_id[one.row[i]]),
            "code": one.code[i].tolist(),
        }
        for one in map(seen, range(N_BLOCKS))
        for i in range(len(one.row))
    ]


def by_expert() -> dict[int, list[dict[str, Any]]]:
    owned: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for firing in firings():
        owned[firing["expert"]].append(firing)
    return owned


def records(kept: Kept) -> list[dict[str, Any]]:
    kept.settle()
    columns = {name: column.tolist() for name, column in kept.firings.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def by_hand(norms: Sequence[float], *, expert: int = 0, d_in: int = 2) -> Observed:
    """One row of zeros and one firing of `expert` for each norm."""
    n = len(norms)
    zeros = torch.zeros(n, dtype=torch.int64)
    tokens = Tokens(zeros, zeros.int(), zeros.int(), zeros.int(), zeros, torch.ones(n, dtype=torch.bool))
    values = torch.tensor(norms)
    rows = torch.zeros(n, d_in)
    return Observed(rows, rows, tokens, torch.arange(n), zeros + expert, values[:, None], values, torch.zeros(n), torch.arange(n))


# The whole, however it is cut


@st.composite
def partitions(draw: st.DrawFn) -> list[list[int]]:
    """The blocks in any order, dealt to any number of parts, some of them empty."""
    order = draw(st.permutations(range(N_BLOCKS)))
    owner = [draw(st.integers(0, 3)) for _ in order]
    return [[number for number, at in zip(order, owner, strict=True) if at == part] for part in range(4)]


@settings(deadline=None, max_examples=40)
@given(parts=partitions(), order=st.permutations(range(4)))
def test_merged_parts_equal_one_pass_to_the_bit(parts: list[list[int]], order: list[int]) -> None:
    merged = one_pass(parts[order[0]])
    for part in order[1:]:
        merged.merge(one_pass(parts[part]))

    assert_same(merged, one_pass(range(N_BLOCKS)))


@settings(deadline=None, max_examples=20)
@given(parts=partitions())
def test_merging_is_associative_and_commutative(parts: list[list[int]]) -> None:
    first, second, third, _ = parts

    left = one_pass(first)
    left.merge(one_pass(second))
    left.merge(one_pass(third))
    inner = one_pass(third)
    inner.merge(one_pass(second))
    inner.merge(one_pass(first))

    right = one_pass(first)
    nested = one_pass(second)
    nested.merge(one_pass(third))
    right.merge(nested)
    assert_same(left, right)
    assert_same(left, inner)


@settings(deadline=None, max_examples=20)
@given(stops=st.sets(st.integers(0, N_BLOCKS)))
def test_saving_and_restoring_in_the_middle_changes_nothing(stops: set[int]) -> None:
    kept = empty()
    for number in range(N_BLOCKS + 1):
        if number in stops:
            on_disk = load(save({name: value.numpy() for name, value in kept.state().items()}))
            kept = Accumulators.from_state({name: torch.from_numpy(value) for name, value in on_disk.items()}, CPU)
        if number < N_BLOCKS:
            kept.update(seen(number))

    assert_same(kept, one_pass(range(N_BLOCKS)))


def test_a_part_that_saw_nothing_merges_into_nothing_new() -> None:
    kept = empty()

    kept.merge(one_pass(range(N_BLOCKS)))
    kept.merge(empty())

    assert_same(kept, one_pass(range(N_BLOCKS)))


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(N_BLOCKS)), settled=st.sets(st.integers(0, N_BLOCKS - 1)))
def test_choosing_between_blocks_keeps_the_same_firings(order: list[int], settled: set[int]) -> None:
    """Once something is kept, hopeless firings are turned away as they come; that must turn away none that belongs."""
    kept = empty()
    for number in order:
        kept.update(seen(number))
        if number in settled:
            kept.sample.settle()
            kept.top.settle()

    assert_same(kept, one_pass(range(N_BLOCKS)))


# What is observed


def test_blocks_have_what_the_tests_below_need() -> None:
    """More firings than are kept, ties in norm, contents that repeat, and experts that differ."""
    owned = by_expert()
    assert min(map(len, owned.values())) > 2 * SAMPLE
    norms = [firing["norm"] for firing in owned[0]]
    assert len(set(norms)) < len(norms)
    assert TOP < len({firing["content"] for firing in owned[0]}) < len(owned[0])


def test_firings_on_padding_rows_are_dropped() -> None:
    x, tokens = block(0)
    everywhere = Smixae(smixae().config, smixae().weights, threshold=-1.0)
    found = everywhere.firings(x)
    assert int(found.token.max()) >= REAL_ROWS

    observed = observe(x, found, tokens, everywhere, 0, "docs")

    assert len(observed.x) == len(observed.residual) == REAL_ROWS
    assert len(observed.row) == REAL_ROWS * N_EXPERTS
    assert int(observed.row.max()) == REAL_ROWS - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "plain"])
def test_gain_is_how_much_the_error_grows_without_the_expert(rescale: bool, kind: Any) -> None:
    plain = tiny.dictionary(n_experts=N_EXPERTS, threshold=1.0, rescale=rescale)
    factor = 0.4 if kind == "expected_average_only_in" else 1.0
    dictionary = Smixae(plain.config, plain.weights, plain.threshold, Normalisation(kind, factor))
    x, tokens = block(1)
    x = x * (torch.arange(len(x)) % 5 + 1)[:, None] / factor
    observed = observe(x, dictionary.firings(x), tokens, dictionary, 0, "docs")
    encoding = dictionary.encode(x)

    def error(without: int | None) -> torch.Tensor:
        code = encoding.clone()
        if without is not None:
            code[:, without] = 0.0
        return (x.double() - dictionary.decode(code, x).double()).square().sum(dim=1)[:REAL_ROWS]

    grown = torch.stack([error(expert) - error(None) for expert in range(N_EXPERTS)], dim=1)
    assert len(observed.row) > 30
    expected = grown[observed.row, observed.expert]
    torch.testing.assert_close(observed.gain.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_residual_is_what_the_reconstruction_misses() -> None:
    x, tokens = block(2)

    observed = observe(x, smixae().firings(x), tokens, smixae(), 0, "docs")

    torch.testing.assert_close(observed.residual, x[:REAL_ROWS] - smixae().decode(smixae().encode(x[:REAL_ROWS])))


# Sums and counts


def test_totals_equal_naive_sums() -> None:
    totals = one_pass(range(N_BLOCKS)).totals
    sums = {name: value.numpy() for name, value in totals.sums.items()}
    blocks = [seen(number) for number in range(N_BLOCKS)]

    for expert in range(N_EXPERTS):
        norms = [one.norm[one.expert == expert].double() for one in blocks]
        out = [one.tokens.held_out[one.row[one.expert == expert]] for one in blocks]
        gains = [one.gain[one.expert == expert].double()[held_out] for one, held_out in zip(blocks, out, strict=True)]
        assert sums["firings"][expert] == sum(map(len, norms))
        assert sums["held_out_firings"][expert] == sum(int(held_out.sum()) for held_out in out)
        assert totals.max_norm[expert] == max(float(norm.max()) for norm in norms)
        # Each summand is rounded by at most half a unit.
        assert (
            abs(sums["norm"][expert] / FIXED_POINT - float(torch.cat(norms).sum())) <= 0.5 * sums["firings"][expert] / FIXED_POINT
        )
        assert (
            abs(sums["gain"][expert] / FIXED_POINT - float(torch.cat(gains).sum())) <= 0.5 * sums["firings"][expert] / FIXED_POINT
        )

    rows = torch.cat([one.x[one.tokens.held_out] for one in blocks]).double()
    residual = torch.cat([one.residual[one.tokens.held_out] for one in blocks]).double()
    assert sums["tokens"].tolist() == [N_BLOCKS * REAL_ROWS]
    assert sums["held_out_tokens"].tolist() == [len(rows)] == [4 * REAL_ROWS + 3 * REAL_ROWS // 2]
    np.testing.assert_allclose(sums["x"] / FIXED_POINT, rows.sum(dim=0), atol=0.5 * len(rows) / FIXED_POINT)
    np.testing.assert_allclose(sums["x_squared"][0] / FIXED_POINT, rows.square().sum(), rtol=1e-6)
    np.testing.assert_allclose(sums["residual_squared"][0] / FIXED_POINT, residual.square().sum(), rtol=1e-6)


def test_vocabulary_counts_every_occurrence_of_a_token() -> None:
    counts = one_pass(range(N_BLOCKS)).vocabulary.counts

    ids = np.concatenate([block(number)[1].token_id.numpy() for number in range(N_BLOCKS)])
    assert counts.tolist() == [int((ids == token).sum()) for token in range(N_VOCABULARY)]


@pytest.mark.parametrize("value", [2.0**43, float("inf")], ids=["large", "infinite"])
@pytest.mark.parametrize("kind", ["norm", "x"])
def test_a_value_that_no_sum_could_hold_is_refused(kind: str, value: float) -> None:
    too_much = by_hand([value]) if kind == "norm" else by_hand([1.0])._replace(x=torch.full((1, 2), value))

    with pytest.raises(SumOverflow, match=r"A value of (8\.8e\+12|inf) is too large for the fixed-point sums"):
        Totals(1, 2, CPU).update(too_much)


def test_a_sum_beyond_64_bits_is_refused_by_name() -> None:
    totals = Totals(1, 2, CPU)
    totals.sums["norm"][0] = 2**62 - FIXED_POINT
    totals.update(by_hand([0.5]))

    with pytest.raises(SumOverflow, match="sum of norm left its 64 bits. Map a smaller part of the corpus"):
        totals.update(by_hand([0.5]))


def test_parts_that_fit_alone_and_not_together_are_refused() -> None:
    totals, other = Totals(1, 2, CPU), Totals(1, 2, CPU)
    totals.sums["gain"][0] = other.sums["gain"][0] = -(2**61)

    with pytest.raises(SumOverflow, match="sum of gain left its 64 bits"):
        totals.merge(other)


@pytest.mark.parametrize("length", [50.0, 3000.0, 20_000.0], ids=["usual", "first token of GPT-2", "massive"])
def test_rows_as_long_as_real_models_have_them_are_summed(length: float) -> None:
    """Some tokens' rows are a hundred times longer than the others (Sun et al. 2024, "Massive Activations")."""
    totals = Totals(1, 2, CPU)

    totals.update(by_hand([1.0])._replace(x=torch.tensor([[length, 0.0]])))

    assert totals.sums["x_squared"].tolist() == [length**2 * FIXED_POINT]


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


def test_histogram_counts_every_firing_once() -> None:
    kept = one_pass(range(N_BLOCKS))

    assert kept.histogram.counts.shape == (N_EXPERTS, N_BINS)
    assert torch.equal(kept.histogram.counts.sum(dim=1), kept.totals.sums["firings"])
    for firing in firings():
        at = min(N_BINS - 1, max(0, int(np.floor(BINS_PER_DOUBLING * np.log2(firing["norm"] / smixae().threshold) + 1e-9))))
        assert kept.histogram.counts[firing["expert"], at] > 0


def test_without_a_threshold_every_norm_is_in_the_first_bin() -> None:
    histogram = NormHistogram(1, 0.0, CPU)

    histogram.update(by_hand([0.1, 5.0]))

    assert histogram.counts[0, 0] == 2


# Kept firings


def test_sample_is_the_k_smallest_keys_of_each_expert() -> None:
    kept = records(one_pass(range(N_BLOCKS)).sample)

    expected = [f for _, owned in sorted(by_expert().items()) for f in sorted(owned, key=lambda f: f["key"])[:SAMPLE]]
    assert kept == expected


def test_top_is_the_strongest_firing_of_each_window_content() -> None:
    kept = records(one_pass(range(N_BLOCKS)).top)

    expected = []
    for _, owned in sorted(by_expert().items()):
        contents: set[int] = set()
        for firing in sorted(owned, key=lambda f: (-f["norm"], f["key"])):
            if firing["content"] not in contents and len(contents) < TOP:
                expected.append(firing)
                contents.add(firing["content"])
    assert kept == expected


def test_equal_windows_far_apart_count_once() -> None:
    """The stronger firing of a repeated window is met second, in another part, and still takes the first one's place."""
    weak, strong = by_hand([1.0]), by_hand([2.0])._replace(key=torch.tensor([77]))
    kept, other = (TopFirings(1, 1, TOP, CPU) for _ in range(2))
    kept.update(weak)
    other.update(strong)

    kept.merge(other)

    assert [(f["norm"], f["key"]) for f in records(kept)] == [(2.0, 77)]


def test_sample_smaller_than_k_is_everything() -> None:
    sample = FiringSample(3, 1, 10, CPU)

    sample.update(by_hand([1.0, 2.0, 3.0], expert=2))

    assert [(f["expert"], f["norm"]) for f in records(sample)] == [(2, 1.0), (2, 2.0), (2, 3.0)]


def test_more_firings_than_are_held_at_once_leave_the_same_sample() -> None:
    """Past 65,536 arrivals the sample settles by itself; a rest of them is then judged by what is kept."""
    n = 70_000
    keys = torch.from_numpy(np.random.default_rng(0).permutation(n))
    sample = FiringSample(1, 1, 5, CPU)
    for start in range(0, n, 35_000):
        sample.update(by_hand([1.0] * 35_000)._replace(key=keys[start : start + 35_000]))
    sample.update(by_hand([1.0, 1.0])._replace(key=torch.tensor([-1, n])))

    assert [f["key"] for f in records(sample)] == [-1, 0, 1, 2, 3]


def test_ranks_count_from_zero_within_each_expert() -> None:
    assert ranks(torch.tensor([0, 0, 2, 2, 2, 3]), 5).tolist() == [0, 1, 0, 1, 2, 0]


def test_vocabulary_and_histogram_of_two_parts_add_up() -> None:
    parts = [VocabularyCounts(N_VOCABULARY, CPU) for _ in range(2)]
    for part in parts:
        part.update(seen(0))

    parts[0].merge(parts[1])

    assert torch.equal(parts[0].counts, 2 * parts[1].counts)
