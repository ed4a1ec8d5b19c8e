"""What is around a firing is found as a look at every token of its window would find it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.activations.stream import Tokens
from atlas.harvest.around import CONTEXT_TOKENS, around, unpacked
from atlas.harvest.observed import Observed

N_EXPERTS = 4


def batch(seed: int, rate: float) -> Observed:
    """Windows of up to forty tokens, some of which have no row, and firings on them; norms are few, so that many are equal."""
    rng = np.random.default_rng(seed)
    rows = [
        (document, window, position)
        for document in range(2)
        for window in range(3)
        for position in range(rng.integers(1, 40))
        if position == 0 or rng.random() < 0.95
    ]
    document, window, position = (torch.tensor(column) for column in zip(*rows, strict=True))
    row, expert = (torch.from_numpy(column) for column in np.nonzero(rng.random((len(rows), N_EXPERTS)) < rate))
    norm = torch.from_numpy(rng.choice([1.0, 2.0, 4.0, 5.0], len(row))).float()
    tokens = Tokens(document, window.int(), position.int(), position.int(), document, document == 0)
    return Observed(tokens, document, row, expert, norm[:, None], norm, row, norm)


def levels(seen: Observed, firing: int) -> list[int]:
    """By a look at every firing of the batch."""
    rows = list(zip(*(column.tolist() for column in seen.tokens[:3]), strict=True))
    fired = {(e, *rows[r]): n for r, e, n in zip(seen.row.tolist(), seen.expert.tolist(), seen.norm.tolist(), strict=True)}
    expert, middle = int(seen.expert[firing]), float(seen.norm[firing])
    document, window, position = rows[int(seen.row[firing])]
    near = [position + step for step in range(-CONTEXT_TOKENS, CONTEXT_TOKENS + 1) if step]
    norms = [fired.get((expert, document, window, at)) for at in near]
    return [0 if n is None else 1 if n < middle / 2 else 2 if n < middle else 3 for n in norms]


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31), every=st.integers(1, 5))
def test_levels_are_those_of_the_tokens_in_the_window(rate: float, seed: int, every: int) -> None:
    seen = batch(seed, rate)
    chosen = torch.arange(0, len(seen.row), every)

    found = unpacked(around(seen, chosen, N_EXPERTS).numpy())

    assert found.tolist() == [levels(seen, firing) for firing in chosen.tolist()]


def test_levels_of_a_case_worked_by_hand() -> None:
    """Firings on tokens 0, 1, 3 and 16 of a window, and on the first token of the next; the expert's neighbour fires on all."""
    position = torch.tensor([*range(17), 0])
    window = torch.tensor([0] * 17 + [1])
    tokens = Tokens(position * 0, window.int(), position.int(), position.int(), position, position == 0)
    own = {0: 3.9, 1: 8.0, 3: 4.0, 16: 9.0, 17: 7.0}
    fired = [(row, expert) for row in range(18) for expert in (0, 1) if expert == 0 or row in own]
    row, expert = (torch.tensor(column) for column in zip(*fired, strict=True))
    norm = torch.tensor([own[r] if e else 1.0 for r, e in fired])
    seen = Observed(tokens, position, row, expert, norm[:, None], norm, row, norm)
    chosen = torch.tensor([fired.index((row, 1)) for row in (1, 16)])

    found = unpacked(around(seen, chosen, 2).numpy())

    assert found.dtype == np.uint8
    # Of token 1: token 0 is one before it and weaker than half of it, token 3 two after it and half as strong.
    assert found[0].tolist() == [0] * 11 + [1] + [0, 2] + [0] * 10
    assert found[1].tolist() == [0] * 24, "the next window is none of its own, and token 3 is thirteen away"


def test_nothing_is_around_what_was_not_chosen() -> None:
    assert around(batch(0, 0.3), torch.zeros(0, dtype=torch.int64), N_EXPERTS).shape == (0,)
