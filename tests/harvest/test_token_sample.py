"""The tokens that are kept, and the firings on them, do not depend on how the corpus was cut, ordered or interrupted."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from atlas.activations.stream import Tokens
from atlas.harvest import token_sample
from atlas.harvest.observed import Observed
from atlas.harvest.token_sample import TokenSample

N_GROUPS, K, D_CODE = 4, 5, 3
N_EXPERTS = 9
N_ROWS = 30
N_BATCHES = 6
CPU = torch.device("cpu")


class Offer(NamedTuple):
    """A batch, and the rows of it that are offered."""

    seen: Observed
    row: torch.Tensor
    group: torch.Tensor
    order: torch.Tensor


def observed(rng: np.random.Generator, document: int, fires: Any) -> Observed:
    """A batch of one document with the given (row, expert) pairs firing; keys are random and no two are equal."""
    n_rows = len(fires)
    row, expert = (torch.from_numpy(column) for column in np.nonzero(fires))
    code = torch.from_numpy(rng.standard_normal((len(row), D_CODE))).float()
    place = torch.arange(n_rows)
    held_out = torch.full((n_rows,), document % 2 == 0)
    tokens = Tokens(place * 0 + document, (place // 8).int(), (place % 8).int(), place.int(), place, held_out)
    norm = code.norm(dim=1)
    return Observed(tokens, torch.from_numpy(rng.integers(0, 2**63, n_rows)), row, expert, code, norm, row, norm)


@cache
def offer(number: int) -> Offer:
    """A batch in which a third of the rows have no firing; each row goes to some groups, and many of the orders are equal."""
    rng = np.random.default_rng(number)
    fires = (rng.random((N_ROWS, N_EXPERTS)) < 0.4) & (rng.random((N_ROWS, 1)) < 2 / 3)
    # Group 3 gets so few that all are kept.
    row, group = np.nonzero(rng.random((N_ROWS, N_GROUPS)) < [0.9, 0.5, 0.3, 0.01])
    shuffled = rng.permutation(len(row))
    order = torch.from_numpy(rng.integers(0, 12, len(row)))
    return Offer(observed(rng, number, fires), torch.from_numpy(row[shuffled]), torch.from_numpy(group[shuffled]), order)


def empty() -> TokenSample:
    return TokenSample(N_GROUPS, K, D_CODE, CPU)


def one_pass(numbers: Any) -> TokenSample:
    sample = empty()
    for number in numbers:
        sample.update(*offer(number))
    return sample


def assert_same(a: TokenSample, b: TokenSample) -> None:
    states = a.state(), b.state()
    assert states[0].keys() == states[1].keys()
    differ = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    assert differ == []


def by_hand(offers: list[Offer], n_groups: int = N_GROUPS, k: int = K) -> tuple[list[Any], list[Any]]:
    """The tokens and the firings that should be kept, by sorting all that was offered."""
    offered = []
    for seen, rows, groups, orders in offers:
        for row, group, order in zip(rows.tolist(), groups.tolist(), orders.tolist(), strict=True):
            about = [int(column[row]) for column in (seen.tokens.document, seen.tokens.window, seen.tokens.position)]
            here = [i for i in range(len(seen.row)) if seen.row[i] == row]
            firings = sorted((int(seen.expert[i]), seen.code[i].tolist()) for i in here)
            offered.append((group, order, int(seen.token_key[row]), *about, bool(seen.tokens.held_out[row]), firings))
    kept = [one for group in range(n_groups) for one in sorted(found for found in offered if found[0] == group)[:k]]
    return [one[:-1] for one in kept], [(token, *firing) for token, one in enumerate(kept) for firing in one[-1]]


def kept(sample: TokenSample) -> tuple[list[Any], list[Any]]:
    state = {name: column.tolist() for name, column in sample.state().items()}
    tokens = [state[name] for name in ("group", "order", "key", "document", "window", "position", "held_out")]
    firings = [state[name] for name in ("token", "expert", "code")]
    return list(zip(*tokens, strict=True)), list(zip(*firings, strict=True))


@pytest.fixture
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches as small as a test's fill the room behind what is kept many times over."""
    monkeypatch.setattr(token_sample, "LEAST_ROOM", {"tokens": 1, "firings": 1})
    monkeypatch.setattr(token_sample, "MOVED_AT_ONCE", 3)


def test_kept_are_the_first_of_each_group_with_all_their_firings() -> None:
    expected = by_hand([offer(number) for number in range(N_BATCHES)])

    assert kept(one_pass(range(N_BATCHES))) == expected

    of_group = [sum(token[0] == group for token in expected[0]) for group in range(N_GROUPS)]
    assert of_group[:3] == [K] * 3 and 0 < of_group[3] < K
    assert len({token for token, _, _ in expected[1]}) < len(expected[0]), "some tokens are without a firing"


@pytest.mark.usefixtures("_little_room")
def test_kept_are_the_same_when_they_are_chosen_again_and_again() -> None:
    assert kept(one_pass(range(N_BATCHES))) == by_hand([offer(number) for number in range(N_BATCHES)])


def test_types_are_those_that_are_stored() -> None:
    state = one_pass([0]).state()

    assert {name: column.dtype for name, column in state.items()} == {
        **dict.fromkeys(("group", "order", "key", "document"), torch.int64),
        **dict.fromkeys(("window", "position", "token", "expert"), torch.int32),
        "held_out": torch.bool,
        "code": torch.float32,
    }


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(N_BATCHES)), parts=st.lists(st.integers(0, 2), min_size=N_BATCHES, max_size=N_BATCHES))
def test_merged_parts_equal_one_pass(order: list[int], parts: list[int]) -> None:
    split = [[number for number, at in zip(order, parts, strict=True) if at == part] for part in range(3)]
    left = one_pass(split[0])
    left.merge(one_pass(split[1]))
    left.merge(one_pass(split[2]))
    right, nested = one_pass(split[2]), one_pass(split[1])
    nested.merge(one_pass(split[0]))
    right.merge(nested)

    assert_same(left, one_pass(range(N_BATCHES)))
    assert_same(right, left)


@settings(deadline=None, max_examples=30)
@given(
    order=st.permutations(range(N_BATCHES)), settled=st.sets(st.integers(0, N_BATCHES)), saved=st.sets(st.integers(0, N_BATCHES))
)
def test_choosing_or_saving_between_batches_changes_nothing(order: list[int], settled: set[int], saved: set[int]) -> None:
    """Once something is kept, hopeless tokens are turned away as they come; that must turn away none that belongs."""
    sample = empty()
    for number in order:
        sample.update(*offer(number))
        if number in settled:
            sample.settle()
        if number in saved:
            on_disk = load(save(sample.state()))
            sample = empty()
            sample.restore(on_disk)

    assert_same(sample, one_pass(range(N_BATCHES)))


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, N_ROWS), max_size=4), number=st.integers(0, N_BATCHES - 1))
def test_rows_may_come_in_batches_of_any_size(cuts: list[int], number: int) -> None:
    whole = offer(number)
    sample = empty()
    edges = [0, *sorted(cuts), N_ROWS]
    for first, last in zip(edges, edges[1:], strict=False):
        seen = whole.seen
        fired = (seen.row >= first) & (seen.row < last)
        part = Observed(
            Tokens(*(column[first:last] for column in seen.tokens)),
            seen.token_key[first:last],
            seen.row[fired] - first,
            *(column[fired] for column in seen[3:]),
        )
        here = (whole.row >= first) & (whole.row < last)
        sample.update(part, whole.row[here] - first, whole.group[here], whole.order[here])

    assert_same(sample, one_pass([number]))


def test_order_goes_before_key_and_equal_orders_by_key() -> None:
    seen = observed(np.random.default_rng(0), 0, np.ones((4, 1), dtype=bool))._replace(token_key=torch.tensor([4, 3, 2, 1]))
    sample = TokenSample(1, 3, D_CODE, CPU)

    sample.update(seen, torch.arange(4), torch.zeros(4, dtype=torch.int64), torch.tensor([0, 7, 7, 9]))

    assert sample.state()["position"].tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("order", "expected"), [(0, [0, 1, 5]), (7, [1, 5, 7]), (9, [1, 5, 9]), (10, [1, 5, 9])], ids=["first", "last", "tie", "late"]
)
def test_one_token_more_takes_the_place_of_the_worst_or_none(order: int, expected: list[int]) -> None:
    seen = observed(np.random.default_rng(0), 0, np.ones((4, 1), dtype=bool))
    sample = TokenSample(1, 3, D_CODE, CPU)
    sample.update(seen, torch.arange(3), torch.zeros(3, dtype=torch.int64), torch.tensor([9, 1, 5]))
    sample.settle()

    sample.update(seen, torch.tensor([3]), torch.tensor([0]), torch.tensor([order]))

    assert sample.state()["order"].tolist() == expected


def test_state_is_not_changed_by_what_comes_later() -> None:
    sample = one_pass([0, 1])
    state = sample.state()
    before = {name: column.clone() for name, column in state.items()}

    sample.update(*offer(2))
    sample.state()

    assert all(torch.equal(state[name], column) for name, column in before.items())


def test_a_batch_without_a_chosen_row_and_one_without_a_firing_are_taken() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    silent = observed(np.random.default_rng(0), 2, np.zeros((3, N_EXPERTS), dtype=bool))
    sample = empty()

    sample.update(offer(0).seen, none, none, none)
    assert kept(sample) == ([], [])

    sample.update(silent, torch.arange(3), torch.zeros(3, dtype=torch.int64), torch.arange(3))
    tokens, firings = kept(sample)
    assert [token[5] for token in tokens] == [0, 1, 2] and firings == []


def test_a_sample_of_no_group_at_all_keeps_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    sample, other = (TokenSample(0, K, D_CODE, CPU) for _ in range(2))
    sample.update(offer(0).seen, none, none, none)

    other.restore(sample.state())
    sample.merge(other)

    assert kept(sample) == ([], [])


def test_a_column_of_a_wider_table_may_name_the_rows_of_firings() -> None:
    """What nonzero() returns is strided, and torch warns of searching in such."""
    seen, *rest = offer(0)
    strided = seen._replace(row=torch.stack([seen.row, seen.expert], dim=1)[:, 0])
    sample = empty()

    sample.update(strided, *rest)

    assert_same(sample, one_pass([0]))


def filled(n_batches: int) -> tuple[TokenSample, int]:
    """A sample of 1,000 tokens, with 16 firings each, from batches of 500, and how many bytes it holds at most."""
    sample = TokenSample(1, 1_000, D_CODE, CPU)
    most = 0
    for number in range(n_batches):
        rng = np.random.default_rng(number)
        seen = observed(rng, number, np.ones((500, 16), dtype=bool))
        sample.update(seen, torch.arange(500), torch.zeros(500, dtype=torch.int64), seen.token_key)
        columns = [*sample._tokens.columns.values(), *sample._firings.columns.values()]
        most = max(most, sum(column.nbytes for column in columns))
    return sample, most


def test_memory_follows_what_is_kept_and_not_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_sample, "LEAST_ROOM", {"tokens": 100, "firings": 100})
    sample, held = filled(40)

    state = sample.state()
    offered = torch.cat([observed(np.random.default_rng(number), number, np.ones((500, 16))).token_key for number in range(40)])
    assert torch.equal(state["order"], offered.sort().values[:1_000])
    assert (len(state["key"]), len(state["expert"])) == (1_000, 16_000)
    # While it fills up there is room for one batch more, which here is half of what is kept.
    assert held <= 1.6 * sum(column.nbytes for column in state.values())


def test_a_full_sample_holds_nothing_of_a_batch_that_comes_too_late() -> None:
    sample, _ = filled(10)
    worst = int(sample.state()["order"].max())
    held = len(sample._tokens), len(sample._firings)
    late = observed(np.random.default_rng(99), 99, np.ones((500, 16), dtype=bool))

    sample.update(late, torch.arange(500), torch.zeros(500, dtype=torch.int64), torch.arange(500) + worst + 1)

    assert (len(sample._tokens), len(sample._firings)) == held == (1_000, 16_000)
