"""Neighbours fire together more often than chance, by as much as there is evidence for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from atlas.activations.stream import Tokens
from atlas.harvest import co_firing as counting
from atlas.harvest.co_firing import CoFiring
from atlas.harvest.neighbours import LEAST_TOKENS, PRIOR_TOKENS, SHOWN_NEIGHBOURS, co_firing, log_odds
from atlas.harvest.observed import Observed

CPU = torch.device("cpu")
N_TOKENS, N_EXPERTS = 900, 40


def odds(together: int, of_one: int, of_other: int, tokens: int) -> float:
    return float(log_odds(np.array([together]), of_one, np.array([of_other]), tokens)[0])


def slow_odds(together: int, of_one: int, of_other: int, tokens: int) -> float:
    """The log odds ratio of the four cells, to each of which 5 tokens' worth of what independence would put there is added."""
    p, q = of_one / tokens, of_other / tokens
    cells = [
        (together, p * q),
        (of_one - together, p * (1 - q)),
        (of_other - together, (1 - p) * q),
        (tokens - of_one - of_other + together, (1 - p) * (1 - q)),
    ]
    both, only, other, neither = (count + 5 * share / (p * q) for count, share in cells)
    return float(np.log(both * neither / (only * other)))


# Log-odds


def test_prior_is_as_documented() -> None:
    assert PRIOR_TOKENS == 5.0


@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 40))
def test_independent_experts_have_log_odds_of_zero(a: int, b: int, scale: int) -> None:
    """Of a · b · s tokens one fires on b · s and the other on a · s, and both on s."""
    assert odds(scale, b * scale, a * scale, a * b * scale) == pytest.approx(0, abs=1e-9)


@st.composite
def tables_of_four(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Tokens on which both fire, one, the other, and all tokens, so that no expert fires everywhere."""
    both, only, other = (draw(st.integers(0, 300)) for _ in range(3))
    neither = draw(st.integers(1, 10_000))
    assume(both + only and both + other)
    return both, both + only, both + other, both + only + other + neither


@given(tables_of_four())
def test_log_odds_are_those_of_the_four_cells_and_symmetric(table: tuple[int, int, int, int]) -> None:
    together, of_one, of_other, tokens = table

    found = odds(together, of_one, of_other, tokens)

    assert found == pytest.approx(slow_odds(together, of_one, of_other, tokens), abs=1e-9)
    assert found == pytest.approx(odds(together, of_other, of_one, tokens), abs=1e-9)
    excess = together * tokens - of_one * of_other
    assert excess == 0 or np.sign(found) == np.sign(excess), "its sign says whether they meet more often than by chance"


@given(tables_of_four())
def test_log_odds_are_held_back_from_the_plain_ratio(table: tuple[int, int, int, int]) -> None:
    together, of_one, of_other, tokens = table
    assume(0 < together < min(of_one, of_other))

    plain = (
        np.log(together) + np.log(tokens - of_one - of_other + together) - np.log(of_one - together) - np.log(of_other - together)
    )
    assert abs(odds(together, of_one, of_other, tokens)) <= abs(plain) + 1e-9


def test_a_chance_meeting_of_two_rare_experts_comes_behind_a_well_supported_pair() -> None:
    """Two experts that fire twice each and meet once have a plain ratio of a million; the other pair has one of fifty."""
    chance = odds(1, 2, 2, 1_000_000)
    supported = odds(300, 1000, 20_000, 1_000_000)

    assert (1 * 999_997) / (1 * 1) > 20 * (300 * 979_300) / (700 * 19_700)
    assert 0 < chance < supported


# Tables


def fires() -> np.ndarray:
    """Experts of very different rates, in families that share tokens; 0 and 7 are dense, 39 never fires, 38 once."""
    rng = np.random.default_rng(4)
    topic = rng.integers(0, 12, N_TOKENS)
    rate = np.where(topic[:, None] == np.arange(N_EXPERTS) % 12, 0.5, 0.02)
    rate[:, [0, 7]] = 0.6
    found = rng.random((N_TOKENS, N_EXPERTS)) < rate
    found[:, 38:] = False
    found[5, 38] = True
    return found


def observed(fired: np.ndarray) -> Observed:
    n = len(fired)
    row, expert = (torch.from_numpy(column.copy()) for column in np.nonzero(fired))
    zeros, one = torch.zeros(n, dtype=torch.int64), torch.ones(len(row))
    tokens = Tokens(torch.arange(n), zeros.int(), zeros.int(), zeros.int(), zeros, zeros.bool())
    return Observed(tokens, torch.arange(n), row, expert, one[:, None], one, row, one)


def harvested(fired: np.ndarray) -> tuple[CoFiring, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """What a pass keeps of these firings, its token sample being all tokens, and which experts are dense."""
    seen = observed(fired)
    counted = CoFiring(fired.shape[1], CPU)
    counted.update(seen)
    totals = {"firings": fired.sum(axis=0), "tokens": np.array([len(fired)])}
    sample = {"key": np.arange(len(fired)), "token": seen.row.int().numpy(), "expert": seen.expert.int().numpy()}
    return counted, totals, sample, fired.mean(axis=0) > 0.1


def rows(table: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].tolist() for name in ("expert", "rank", "neighbour", "tokens", "log_odds")), strict=True))


def slow_rows(fired: np.ndarray) -> list[tuple[int, int, int, int, float]]:
    sparse = [expert for expert in range(fired.shape[1]) if fired[:, expert].mean() <= 0.1]
    found = []
    for expert in sparse:
        met = []
        for other in sparse:
            together = int((fired[:, expert] & fired[:, other]).sum())
            if other != expert and together >= 2:
                met.append((-slow_odds(together, fired[:, expert].sum(), fired[:, other].sum(), len(fired)), other, together))
        met.sort(key=lambda one: (round(one[0], 9), one[1]))
        found += [(expert, rank, other, n, -minus) for rank, (minus, other, n) in enumerate(met[:SHOWN_NEIGHBOURS])]
    return found


@pytest.mark.parametrize("exact", [True, False], ids=["counted", "on the token sample"])
def test_neighbours_are_the_strongest_of_all_pairs(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token sample that is the whole corpus gives what counting all pairs gives."""
    if not exact:
        monkeypatch.setattr(counting, "MOST_EXPERTS", N_EXPERTS - 1)
    counted, totals, sample, dense = harvested(fires())
    assert counted.is_exact == exact

    found = rows(co_firing(counted, totals, sample, dense))

    expected = slow_rows(fires())
    assert len(expected) > 200
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    np.testing.assert_allclose([row[4] for row in found], [row[4] for row in expected], atol=1e-9)


def test_dense_and_silent_experts_have_no_neighbours_and_are_none() -> None:
    fired = fires()

    table = co_firing(*harvested(fired))

    assert fired.mean(axis=0)[[0, 7]].min() > 0.1
    for expert in (0, 7, 38, 39):
        assert expert not in table["expert"] and expert not in table["neighbour"]


def test_one_meeting_makes_no_neighbours_and_two_do() -> None:
    fired = np.zeros((100, 4), dtype=bool)
    fired[:2, :2] = True
    fired[10, 2:] = True

    found = rows(co_firing(*harvested(fired)))

    assert LEAST_TOKENS == 2
    assert [row[:4] for row in found] == [(0, 0, 1, 2), (1, 0, 0, 2)]


def test_equal_neighbours_stand_in_the_order_of_their_numbers_and_the_first_twenty_are_given() -> None:
    fired = np.zeros((400, SHOWN_NEIGHBOURS + 5), dtype=bool)
    fired[:3] = True

    found = rows(co_firing(*harvested(fired)))

    own = [(rank, neighbour) for expert, rank, neighbour, _, _ in found if expert == 4]
    assert own == list(enumerate([expert for expert in range(25) if expert != 4][:20]))


@pytest.mark.parametrize("n_experts", [1, 3])
def test_experts_that_never_meet_have_an_empty_table(n_experts: int) -> None:
    table = co_firing(*harvested(np.eye(50, n_experts, dtype=bool)))

    assert {name: len(column) for name, column in table.items()} == dict.fromkeys(
        ("expert", "rank", "neighbour", "tokens", "log_odds"), 0
    )
