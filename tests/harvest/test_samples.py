"""Kept firings are those that a sort of all firings would give, however these came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from atlas.activations.stream import Tokens
from atlas.harvest.observed import Observed
from atlas.harvest.samples import FiredTokens, FiringSample, Kept, TopFirings, ranks, sorted_by
from observations import (
    CPU,
    N_CHUNKS,
    Firing,
    Plan,
    batches,
    differing,
    firings,
    planned,
    plans,
    stored,
)

SIZES = pytest.mark.parametrize(
    ("n_experts", "d_code", "k"), [(1, 1, 1), (1, 1, 500), (5, 3, 3), (5, 5, 20), (5, 2, 500), (300, 2, 3), (300, 1, 20)]
)
"""Expert 0 fires more often in one batch than rows of 1 or 3 have room for; 500 is more than any expert fires."""

Made = Callable[[int, int, int], Kept]


def sample(n_experts: int, k: int, d_code: int) -> Kept:
    return FiringSample(n_experts, k, CPU, d_code)


def fired_tokens(n_experts: int, k: int, d_code: int) -> Kept:
    return FiredTokens(n_experts, k, CPU)


def top(n_experts: int, k: int, d_code: int) -> Kept:
    return TopFirings(n_experts, k, CPU)


KINDS = pytest.mark.parametrize("made", [sample, fired_tokens, top])


def one_pass(made: Made, n_experts: int, k: int, d_code: int) -> Kept:
    kept = made(n_experts, k, d_code)
    for number in range(N_CHUNKS):
        for seen in batches(number, n_experts, d_code):
            kept.update(seen)
    return kept


def by_expert(n_experts: int, d_code: int) -> list[list[Firing]]:
    return [[firing for firing in firings(n_experts, d_code) if firing.expert == expert] for expert in range(n_experts)]


def records(kept: Kept) -> list[dict[str, Any]]:
    columns = {name: column.tolist() for name, column in kept.firings().items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def packed(firing: Firing, own: list[Firing]) -> int:
    """What an expert's firings in the same window are to one of them, two bits for each of twelve tokens before and after."""
    window = {f.position: f.norm for f in own if (f.document, f.window) == (firing.document, firing.window)}
    steps = [*range(-12, 0), *range(1, 13)]
    norms = [window.get(firing.position + step, 0.0) for step in steps]
    levels = [0 if not n else 1 if n < firing.norm / 2 else 2 if n < firing.norm else 3 for n in norms]
    return sum(level * 4**slot for slot, level in enumerate(levels))


def place(firing: Firing) -> dict[str, Any]:
    return {name: getattr(firing, name) for name in ("expert", "key", "document", "window", "position")}


def by_hand(norms: list[float], keys: list[int] | None = None, contents: list[int] | None = None) -> Observed:
    """One token and one firing of expert 0 for each norm, each in a window of its own."""
    n = len(norms)
    zeros = torch.zeros(n, dtype=torch.int64)
    content = torch.arange(n) if contents is None else torch.tensor(contents)
    tokens = Tokens(zeros, torch.arange(n).int(), zeros.int(), zeros.int(), content, zeros.bool())
    key = torch.arange(n) if keys is None else torch.tensor(keys)
    norm = torch.tensor(norms)
    return Observed(tokens, key, torch.arange(n), zeros, norm[:, None], norm, key, norm)


# However it is cut


@KINDS
@SIZES
@settings(deadline=None, max_examples=10)
@given(plan=plans())
def test_any_way_to_run_the_corpus_keeps_the_same(made: Made, n_experts: int, d_code: int, k: int, plan: Plan) -> None:
    """Batches of any size in any order, on three machines, saved and read again, merged in any order."""
    parts = []
    for numbers in plan.parts:
        kept = made(n_experts, k, d_code)
        for number in numbers:
            for seen in planned(plan, number, n_experts, d_code):
                kept.update(seen)
                if number in plan.saved:
                    state, kept = stored(kept.state()), made(n_experts, k, d_code)
                    kept.restore(state)
        parts.append(kept)
    first, second, third = parts
    if plan.nested:
        third.merge(second)
        first.merge(third)
    else:
        first.merge(second)
        first.merge(third)

    assert differing(first.state(), one_pass(made, n_experts, k, d_code).state()) == []


@KINDS
def test_merging_leaves_the_other_part_as_it_was(made: Made) -> None:
    a, b = made(5, 3, 2), made(5, 3, 2)
    a.update(batches(0, 5, 2)[0])
    b.update(batches(1, 5, 2)[0])
    before = {name: column.clone() for name, column in b.state().items()}

    a.merge(b)

    assert differing(b.state(), before) == []


@KINDS
def test_what_is_restored_shares_nothing_with_what_it_was_taken_from(made: Made) -> None:
    kept, restored = made(5, 3, 2), made(5, 3, 2)
    kept.update(batches(0, 5, 2)[0])
    restored.restore(kept.state())
    before = {name: column.clone() for name, column in kept.state().items()}

    for number in range(1, N_CHUNKS):
        restored.update(batches(number, 5, 2)[0])

    assert differing(restored.state(), before) != []
    assert differing(kept.state(), before) == []


@KINDS
def test_firings_are_not_changed_by_what_comes_later(made: Made) -> None:
    kept = made(5, 3, 2)
    kept.update(batches(0, 5, 2)[0])
    firings_then = kept.firings()
    before = {name: column.clone() for name, column in firings_then.items()}

    for number in range(1, N_CHUNKS):
        kept.update(batches(number, 5, 2)[0])

    assert not torch.equal(kept.firings()[next(iter(kept.types))], before[next(iter(kept.types))])
    assert differing(firings_then, before) == []


def held_bytes(kept: Kept) -> int:
    """Bytes of every tensor that it holds, in itself or in a dictionary."""
    held = [*vars(kept).values()]
    tensors = [
        x for value in held for x in (value.values() if isinstance(value, dict) else [value]) if isinstance(x, torch.Tensor)
    ]
    return sum(tensor.nbytes for tensor in tensors)


@KINDS
def test_memory_does_not_follow_what_was_seen(made: Made) -> None:
    kept = made(300, 3, 2)
    empty = held_bytes(kept)

    for number in range(N_CHUNKS):
        kept.update(batches(number, 300, 2)[0])
        assert held_bytes(kept) == empty

    assert empty <= 2.5 * sum(column.nbytes for column in kept.state().values())


@KINDS
def test_experts_that_never_fire_keep_nothing(made: Made) -> None:
    kept = one_pass(made, 300, 20, 2)

    found = torch.bincount(kept.firings()["expert"], minlength=300)

    assert found[-1] == 0
    assert found[0] == (6 if made is top else 20), "six contents, and more firings than are kept"


# What it is


@SIZES
def test_sample_is_the_k_smallest_keys_of_each_expert(n_experts: int, d_code: int, k: int) -> None:
    found = records(one_pass(sample, n_experts, k, d_code))
    expected = [
        {**place(firing), "around": packed(firing, own), "gain": firing.gain, "code": list(firing.code)}
        for own in by_expert(n_experts, d_code)
        for firing in sorted(own, key=lambda firing: firing.key)[:k]
    ]

    measured = [one["gain"] == one["gain"] for one in expected]
    assert 0 < sum(measured) < len(measured) or k == 1
    np.testing.assert_equal(found, expected)


@SIZES
def test_fired_tokens_are_those_of_the_k_smallest_keys(n_experts: int, d_code: int, k: int) -> None:
    kept = one_pass(fired_tokens, n_experts, k, d_code).firings()

    expected = [
        (expert, sorted((firing.key, firing.token_id) for firing in own)[:k])
        for expert, own in enumerate(by_expert(n_experts, d_code))
    ]
    assert kept["expert"].tolist() == [expert for expert, own in expected for _ in own]
    assert FiredTokens.token_ids(kept["firing"].numpy()).tolist() == [token for _, own in expected for _, token in own]
    assert (kept["firing"] >> 31).tolist() == [key >> 31 for _, own in expected for key, _ in own]


@SIZES
def test_top_is_the_strongest_firing_of_each_window_content(n_experts: int, d_code: int, k: int) -> None:
    expected = []
    for own in by_expert(n_experts, d_code):
        contents: set[int] = set()
        for firing in sorted(own, key=lambda firing: (-firing.norm, firing.key)):
            if firing.content not in contents and len(contents) < k:
                beside = {"content": firing.content, "norm": firing.norm, "around": packed(firing, own)}
                expected.append({**place(firing), **beside})
                contents.add(firing.content)

    assert records(one_pass(top, n_experts, k, d_code)) == expected


def test_the_corpus_holds_equal_norms_and_equal_windows() -> None:
    """What the comparison above needs to mean anything."""
    own = by_expert(5, 3)[0]
    strongest = max(firing.norm for firing in own)
    assert len([firing for firing in own if firing.norm == strongest]) > 1
    assert len({firing.content for firing in own}) < len({(firing.document, firing.window) for firing in own})


def test_equal_windows_far_apart_count_once() -> None:
    """The stronger firing of a repeated window is met second, in another part, and still takes the first one's place."""
    kept, other = (TopFirings(1, 3, CPU) for _ in range(2))
    kept.update(by_hand([1.0], keys=[5]))
    other.update(by_hand([2.0], keys=[77]))

    kept.merge(other)

    assert [(firing["norm"], firing["key"]) for firing in records(kept)] == [(2.0, 77)]


def test_of_equally_strong_firings_the_smaller_key_is_kept() -> None:
    kept = TopFirings(1, 2, CPU)

    kept.update(by_hand([1.0, 1.0, 1.0, 1.0], keys=[9, 4, 7, 1], contents=[0, 0, 1, 2]))
    kept.update(by_hand([1.0], keys=[2], contents=[3]))

    assert [(firing["content"], firing["key"]) for firing in records(kept)] == [(2, 1), (3, 2)]


def test_a_content_of_zero_is_no_empty_place() -> None:
    """Rows are filled up with zeros, which are no firing of a window of that hash."""
    kept = TopFirings(2, 4, CPU)

    kept.update(by_hand([3.0, 2.0], contents=[0, 8]))

    assert [(firing["expert"], firing["content"]) for firing in records(kept)] == [(0, 0), (0, 8)]


def test_far_more_arrivals_than_there_is_room_for_leave_the_same_sample() -> None:
    n = 70_000
    keys = np.random.default_rng(0).permutation(n) + 1
    kept = FiringSample(1, 5, CPU, 1)
    for half in np.split(keys, 2):
        kept.update(by_hand([1.0] * (n // 2), keys=half.tolist()))
    kept.update(by_hand([1.0, 1.0], keys=[0, n + 1]))

    assert [firing["key"] for firing in records(kept)] == [0, 1, 2, 3, 4]


def test_equal_firings_on_one_token_id_are_all_counted() -> None:
    """Of firings whose keys share the upper half nothing but the token is kept; each of them counts."""
    kept = FiredTokens(1, 3, CPU)

    kept.update(by_hand([1.0] * 4, keys=[1, 2, 3, 2**40]))

    assert kept.firings()["firing"].tolist() == [0, 0, 0]


def test_firings_whose_keys_share_the_upper_half_are_ordered_by_token_however_they_come() -> None:
    kept = FiredTokens(1, 1, CPU)
    for key, token in ((1, 9), (2, 3), (3, 7)):
        seen = by_hand([1.0], keys=[key])
        kept.update(seen._replace(tokens=seen.tokens._replace(token_id=torch.tensor([token], dtype=torch.int32))))
        kept.state()

    assert FiredTokens.token_ids(kept.firings()["firing"].numpy()).tolist() == [3]


def test_ranks_count_from_zero_within_each_expert() -> None:
    assert ranks(torch.tensor([0, 0, 2, 2, 2, 3]), 5).tolist() == [0, 1, 0, 1, 2, 0]


def test_sorting_by_several_columns_is_by_the_last_one_first() -> None:
    rng = np.random.default_rng(0)
    columns = [torch.from_numpy(rng.integers(0, 4, 60)) for _ in range(3)]

    assert sorted_by(columns).tolist() == np.lexsort([column.numpy() for column in columns]).tolist()
