from __future__ import annotations

import numpy as np
import polars as pl

from atlas.bake.contexts import OUTSIDE, Texts, Windows, Words


def test_contexts_agree_with_the_obvious_way() -> None:
    random = np.random.default_rng(0)
    tokens = [random.integers(0, 50, length) for length in (1, 7, 30)]
    numbers = [4, 9, 11]
    windows = Windows(pl.DataFrame({"window": numbers, "tokens": tokens}))
    rows = [(row, position) for row, window in enumerate(tokens) for position in range(len(window))]
    found = windows.around(
        np.array([numbers[row] for row, _ in rows]), np.array([position for _, position in rows]), before=3, after=2
    )
    for context, (row, position) in zip(found, rows, strict=True):
        padded = [OUTSIDE] * 3 + tokens[row].tolist() + [OUTSIDE] * 2
        assert context.tolist() == padded[position : position + 6]


def test_a_word_keeps_its_marks_however_tokens_part_it() -> None:
    windows = Windows(pl.DataFrame({"window": [0], "tokens": [[0, 1, 2, 3, 4]]}))
    pieces = {0: " ह", 1: "##\u093fन्", 2: "द", 3: "\u0940", 4: "”"}
    assert Words(windows, pieces).texts == ["हिन्दी"]


def test_texts_put_the_frequent_first_and_nothing_at_zero() -> None:
    texts = Texts({7: "seven", 8: "eight", 9: "nine"}, np.array([[8, 9], [OUTSIDE, 9]]), np.array([7, 9]))
    assert texts.list == ["", "nine", "seven", "eight"]
    assert texts.index(np.array([OUTSIDE, 9, 8])).tolist() == [0, 1, 3]


def test_no_tokens_make_no_texts() -> None:
    texts = Texts({}, np.empty((0, 5), np.int64))
    assert texts.list == [""]
    assert texts.index(np.empty((0, 5), np.int64)).shape == (0, 5)
