"""Pairs of experts are counted on every token, however the tokens come."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from atlas.harvest import co_firing
from atlas.harvest.co_firing import CoFiring
from observations import CPU, N_CHUNKS, Plan, batches, differing, firings, planned, plans, stored

SHAPES = pytest.mark.parametrize(("n_experts", "d_code"), [(1, 1), (5, 3), (300, 2)])


def one_pass(n_experts: int, d_code: int) -> CoFiring:
    counted = CoFiring(n_experts, CPU)
    for number in range(N_CHUNKS):
        counted.update(batches(number, n_experts, d_code)[0])
    return counted


def together(n_experts: int, d_code: int) -> list[list[int]]:
    """On how many tokens each two fire, pair by pair."""
    of_token = defaultdict(list)
    for firing in firings(n_experts, d_code):
        of_token[firing.token].append(firing.expert)
    found = [[0] * n_experts for _ in range(n_experts)]
    for experts in of_token.values():
        for a, b in combinations(experts, 2):
            found[a][b] += 1
            found[b][a] += 1
    return found


def counts(counted: CoFiring) -> list[list[int]]:
    return [counted.of(expert).tolist() for expert in range(counted.n_experts)]


@pytest.mark.parametrize(
    ("n_experts", "d_code", "at_once"), [(1, 1, 7), (5, 3, 1), (5, 3, 7), (5, 3, 2**18), (300, 2, 500), (300, 2, 2**18)]
)
def test_counts_are_those_of_all_pairs(n_experts: int, d_code: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(co_firing.PAIRS_AT_ONCE, "cpu", at_once)

    assert counts(one_pass(n_experts, d_code)) == together(n_experts, d_code)


def test_expert_that_never_fires_meets_none_and_one_that_always_does_meets_all() -> None:
    found = np.array(counts(one_pass(5, 3)))

    own = np.bincount([firing.expert for firing in firings(5, 3)], minlength=5)
    assert found[4].tolist() == [0] * 5
    assert found[0].tolist() == [0, *own[1:]]


@SHAPES
@settings(deadline=None, max_examples=15)
@given(plan=plans())
def test_any_way_to_run_the_corpus_counts_the_same(n_experts: int, d_code: int, plan: Plan) -> None:
    parts = []
    for numbers in plan.parts:
        counted = CoFiring(n_experts, CPU)
        for number in numbers:
            for seen in planned(plan, number, n_experts, d_code):
                counted.update(seen)
                if number in plan.saved:
                    state, counted = stored(counted.state()), CoFiring(n_experts, CPU)
                    counted.restore(state)
        parts.append(counted)
    first, second, third = parts
    if plan.nested:
        third.merge(second)
        first.merge(third)
    else:
        first.merge(second)
        first.merge(third)

    assert differing(first.state(), one_pass(n_experts, d_code).state()) == []


@settings(deadline=None, max_examples=15)
@given(plan=plans())
def test_counts_widen_as_soon_as_they_might_not_fit(plan: Plan) -> None:
    """Whether it is one pass or two parts that reach the limit, counts end up the same, type and all."""
    with pytest.MonkeyPatch.context() as patch:
        n_tokens = sum(len(batches(number, 5, 3)[0].token_key) for number in range(N_CHUNKS))
        for limit, kind in ((n_tokens, torch.int64), (n_tokens + 1, torch.int32)):
            patch.setattr(co_firing, "_HALF", limit)
            parts = []
            for numbers in plan.parts:
                counted = CoFiring(5, CPU)
                for number in numbers:
                    counted.update(batches(number, 5, 3)[0])
                parts.append(counted)
            whole = parts[0]
            whole.merge(parts[1])
            whole.merge(parts[2])

            assert whole.counts.dtype == kind
            assert counts(whole) == together(5, 3)


def test_counts_of_more_tokens_than_an_int32_holds_are_exact() -> None:
    a, b = one_pass(5, 3), one_pass(5, 3)
    for counted in (a, b):
        # As though nearly 2³¹ tokens had been seen, on all of which both fire.
        counted._tokens = 2**31 - 1
        counted.counts[0] = 2**31 - 1

    a.merge(b)

    assert a.of(0)[1] == a.of(1)[0] == 2**32 - 2


def test_pairs_of_too_many_experts_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_firing, "MOST_EXPERTS", 4)

    counted = one_pass(5, 3)
    counted.merge(one_pass(5, 3))

    assert not counted.is_exact
    assert len(counted.counts) == 0
    assert CoFiring(4, CPU).is_exact


def test_all_pairs_of_the_most_experts_are_half_a_gigabyte() -> None:
    n = co_firing.MOST_EXPERTS
    assert n * (n - 1) // 2 * torch.int32.itemsize < 2**29 + 2**27
