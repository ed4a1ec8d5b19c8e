from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atlas.bake.sayings import chosen, sayings
from atlas.store import Hypothesis, Label, Task

RING = Hypothesis(0, "cyc_12m", "12-month ring", "ring", "R²", "", True, (), (), 0.27, 14, {"random_projection": 0.58})
CORPUS = Task(0, "docs", "Docs", "corpus", "corpus", "", False, 318_402, 104_551, 52_275, 2_000, 318_402, 0, True, 0, (), ())
MAY = Label("May", 4.0, None, 10, 3)
MONTHS = Task(1, "months", "Months", "labelled", "calendar", "", True, 900, 900, 0, 120, 120, 48, True, 10, (MAY,), (RING,))
EXPERT = {
    **{"basis": "order", "title_task": 1, "measure": "R² all rows", "value": 0.61, "silent": False, "dense": False},
    **{"firings": 900, "documents": 312, "rate": 0.085, "importance": 0.0031},
}
SCORE = {
    **{"task": 1, "hypothesis": 0, "ranking": 0.6, "all_rows": 0.61, "all_rows_low": 0.54, "all_rows_high": 0.67},
    **{"left_out_label": 0.5, "p_order_adjusted": 0.0005, "order_supported": True},
}


def said(expert: dict[str, Any], *scores: dict[str, Any]) -> str:
    sentences = sayings(EXPERT | expert, scores, {0: CORPUS, 1: MONTHS}, n_experts=256)
    return " ".join(sentences).replace("\u202f", " ")


def test_a_supported_order_is_said_with_its_numbers() -> None:
    text = said({}, SCORE)
    assert "The order of Months (12-month ring) can be read from its code: R² 0.61 (0.54–0.67) on 48 sentences" in text
    assert "adjusted p 0.0005" in text and "0.50 on labels left out" in text
    assert "The best of 256 random projections reaches 0.58." in text
    assert "not tested here" in text


def test_a_score_below_the_floor_is_said_to_be() -> None:
    assert "does not set it apart" in said({}, SCORE | {"all_rows": 0.5})


def test_a_task_without_order_says_so() -> None:
    text = said({"basis": "task", "measure": "lift", "value": 14.2}, SCORE | {"order_supported": False})
    assert "far more than on other text (lift 14.2). No order of them is supported." in text


def test_a_supported_place_among_several_numbers_is_an_arrangement() -> None:
    rgb = replace(RING, shape="map", title="RGB", hypothesis=1)
    tasks = {0: CORPUS, 1: replace(MONTHS, title="Colours", hypotheses=(rgb,), has_text=False)}
    sentences = sayings(EXPERT, [SCORE | {"hypothesis": 1}], tasks, n_experts=256)
    assert (
        "The arrangement of Colours (RGB) can be read from its code: R² 0.61 (0.54–0.67) on 48 rows, better than shuffled"
        in (sentences[0])
    )
    assert "shuffled arrangements (adjusted p 0.0005)" in sentences[0]
    both = tasks | {1: replace(tasks[1], hypotheses=(RING, rgb))}
    said_of = sayings(EXPERT, [SCORE, SCORE | {"hypothesis": 1, "ranking": 0.3}], both, n_experts=256)
    assert "One more arrangement is supported, of Colours: see the scores." in said_of
    three = [SCORE, SCORE | {"hypothesis": 1, "ranking": 0.3}, SCORE | {"ranking": 0.2}]
    assert "2 more arrangements are supported, of Colours: see the scores." in sayings(EXPERT, three, both, n_experts=256)


def test_a_task_of_which_no_order_is_tested_is_not_said_to_lack_one() -> None:
    classes = replace(RING, shape="classes", measure="balanced accuracy")
    by_row = replace(RING, of_label=False)
    for hypotheses in ((), (classes,), (by_row,)):
        tasks = {0: CORPUS, 1: replace(MONTHS, hypotheses=hypotheses)}
        sentences = sayings(EXPERT | {"basis": "task", "measure": "lift", "value": 14.2}, [], tasks, n_experts=256)
        assert sentences[0].endswith("(lift 14.2).")


def test_no_claim_is_said_plainly() -> None:
    assert said({"basis": "tokens", "title_task": None}).startswith("No claim:")


def test_silence_names_the_tokens_it_rests_on() -> None:
    assert said({"silent": True, "firings": 0}) == (
        "It fired on none of the 104,551 held-out tokens. Nothing is claimed about what it does."
    )
    assert "It fired 7 times on the other 213,851." in said({"silent": True, "firings": 7})


@pytest.mark.parametrize("word", ["knows", "understands", "represents"])
def test_nothing_is_claimed_that_was_not_tested(word: str) -> None:
    assert word not in said({"dense": True}, SCORE)


def test_the_weight_is_said_with_the_documents_it_fires_in() -> None:
    assert "It fires on 8.5 % of the tokens, in 312 of 2,000 documents; without it, 0.31 % more of the variance" in said({})


def test_of_several_corpora_the_sentences_name_theirs() -> None:
    tasks = {0: CORPUS, 1: replace(CORPUS, task=1, name="more", title="More"), 2: replace(MONTHS, task=2)}
    sentences = sayings(EXPERT | {"basis": "tokens", "title_task": None}, [], tasks, n_experts=256)
    assert "8.5\u202f% of the tokens of Docs, in 312" in sentences[-1]


def test_what_was_looked_at_is_all_or_a_sample_with_its_seed() -> None:
    assert chosen(1_000, 12_345, 7) == "1,000 of its 12,345 firings, chosen by a hash (seed\u00a07)"
    assert chosen(312, 312, 7) == "all its 312 firings"
