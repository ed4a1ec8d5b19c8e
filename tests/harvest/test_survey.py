"""What is measured is chosen from the text alone, by a hash, and never nothing."""

from __future__ import annotations

import pytest

from atlas.harvest import survey
from atlas.harvest.survey import Survey


def plan(characters: list[int], held_out: list[int], tokens: int) -> Survey:
    return Survey(len(characters), 0, len(characters), tokens, "", True, tuple(characters), tuple(held_out))


def test_all_chunks_with_held_out_text_are_measured_where_there_is_little() -> None:
    assert plan([400, 400, 400], [80, 0, 400], 300).measured(0, "docs") == {0, 2}


def test_chunks_of_everything_are_measured_where_nothing_is_held_out() -> None:
    found = plan([400, 0, 400], [0, 0, 0], 200)
    assert not found.has_held_out
    assert found.measured(0, "docs") == {0, 2}


def test_a_long_text_is_measured_on_as_many_chunks_as_hold_the_held_out_tokens_that_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey, "IMPORTANCE_TOKENS", 1000)
    # Four characters to a token; a chunk holds 100 tokens, of which 20 are held out.
    long = plan([400] * 500, [80] * 500, 50_000)

    chosen = long.measured(0, "docs")

    assert len(chosen) == 50
    assert abs(sum(chosen) / 50 - 250) < 5 * (500 / 12**0.5) / 50**0.5, "chosen from all over"
    assert chosen != long.measured(1, "docs") and chosen != long.measured(0, "news")


@pytest.mark.parametrize("corpus", [f"book{i}.txt" for i in range(20)])
def test_a_text_of_one_long_document_is_measured(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "IMPORTANCE_TOKENS", 10)
    assert plan([4000], [4000], 1000).measured(0, corpus) == {0}
