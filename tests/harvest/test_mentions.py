"""Mentions are whole words spelled as a label is, at the token that a probe would read, and nothing else."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from atlas.activations.corpus import Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Tokens, blocks, chunk_windows, window_width
from atlas.harvest.mentions import MentionCounts, Mentioned, Mentions, at_rows
from atlas.probe.rows import probed_sentences
from atlas.probe.tasks import builtin_tasks

MONTHS = builtin_tasks()[0]
WORDS = {task.name: task.labels for task in builtin_tasks()[:4]}
TEXT = "The model fires on June and on May 1969, Maybe on 3.42 or 42 tokens of September; not on june. It is Monday, 7 May"
IN_TEXT = ["June", "May", "1969", "42", "September", "Monday", "7", "May"]


def texts(words: Mentions, text: str) -> list[str]:
    return [text[start:end] for start, end in words.spans(text)]


def labels() -> list[str]:
    return [label for task in WORDS.values() for label in task]


def rows(found: Mentioned) -> list[tuple[int, ...]]:
    """(document, window, position, word) of each mention."""
    return list(zip(*(column.tolist() for column in found), strict=True))


def mentioned(*entries: tuple[int, int, int, int]) -> Mentioned:
    document, window, position, word = torch.tensor(entries, dtype=torch.int64).reshape(-1, 4).T.contiguous()
    return Mentioned(document, window.int(), position.int(), word)


# The text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", ["42"]),
        ("142 420 3.42 42.5 v42 42nd x_42 42_ 42,000 1,42 .42", []),
        ("42. 42, (42) 42% $42 42-42 42/42 42's", ["42"] * 10),
        ("42.", ["42"]),
        ("May", ["May"]),
        ("Maybe mayMay may MAY Dismay May\u0301 May_1", []),
        ("May's 3.May.4 “May” May/June", ["May", "May", "May", "May", "June"]),
        ("été été\u0301 étés", ["été"]),
        ("New York, NewYork New  York New\nYork", ["New York", "New", "New"]),
        ("New Yorkers may", ["New"]),
        ("C++ C+++ C+ C", ["C++", "C++", "C", "C"]),
        ("a.b axb", ["a.b"]),
        ("^-] [^-]", ["^-]", "^-]"]),
        ("", []),
    ],
)
def test_whole_words_spelled_as_the_label_is_are_found(text: str, expected: list[str]) -> None:
    words = Mentions({"any": ("42", "May", "June", "été", "New York", "New", "C++", "C", "a.b", "^-]")})

    assert texts(words, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("May Day", ["May Day"]),
        ("May Days", ["May"]),
        ("one May Day off", ["one", "May Day", "off"]),
        # "Day off work" is longer than "May Day", which is gone then, and its May with it.
        ("one May Day off work", ["one", "Day off work"]),
        ("two one May Day", ["two one", "May Day"]),
    ],
)
def test_the_longest_of_overlapping_labels_counts(text: str, expected: list[str]) -> None:
    words = Mentions({"any": ("May", "May Day", "Day off work", "off", "one", "two one")})

    assert texts(words, text) == expected


def slow_spans(known: list[str], text: str) -> list[tuple[int, int]]:
    """Every place of every label is tried; the longest are taken first, then the first."""

    def of_word(character: str) -> bool:
        return character.isalnum() or character == "_" or unicodedata.combining(character) > 0

    def whole(start: int, end: int) -> bool:
        before, behind = text[:start], text[end:]
        if (before and of_word(before[-1])) or (behind and of_word(behind[0])):
            return False
        if text[start].isdigit() and (before.endswith(".") or re.search(r"\d,$", before)):
            return False
        return not (text[end - 1].isdigit() and re.match(r"[.,]\d", behind))

    longest: dict[int, int] = {}
    for start in range(len(text)):
        ends = [start + len(label) for label in known if text.startswith(label, start) and whole(start, start + len(label))]
        if ends:
            longest[start] = max(ends)
    chosen: list[tuple[int, int]] = []
    for start, end in sorted(longest.items(), key=lambda span: (span[0] - span[1], span[0])):
        if all(end <= first or last <= start for first, last in chosen):
            chosen.append((start, end))
    return sorted(chosen)


@settings(deadline=None, max_examples=300)
@given(
    known=st.lists(st.text("ab1 .", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=8),
    text=st.text("ab1 .,_\u0301\n", max_size=30),
)
def test_spans_equal_those_of_a_slow_search(known: list[str], text: str) -> None:
    assert Mentions({"any": known}).spans(text) == slow_spans(known, text)


# The tokens


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def any_model(request: pytest.FixtureRequest, models: dict[str, Path]) -> LanguageModel:
    """A tiny model of every family."""
    return LanguageModel.load(str(models[request.param]), tiny.HOOKS[request.param])


def test_mention_is_at_the_token_that_a_probe_of_the_sentence_reads(any_model: LanguageModel) -> None:
    config = StreamConfig(window_tokens=64)
    probed, _ = probed_sentences(MONTHS, any_model, config)
    documents = [Document(number, one.sentence.text, False) for number, one in enumerate(probed)]

    found = Mentions({"months": MONTHS.labels}).find(documents, any_model.tokenizer, window_width(any_model.tokenizer, config))

    assert len(probed) == len(found.word) == len(MONTHS.sentences)
    assert rows(found) == [(number, 0, one.position, one.sentence.label) for number, one in enumerate(probed)]


def test_mentions_are_in_the_windows_that_the_chunk_is_cut_into(any_model: LanguageModel) -> None:
    """The token of each mention ends the word: up to it the tokens decode to the text with the word, before it they do not."""
    tokenizer = any_model.tokenizer
    config = StreamConfig(window_tokens=7)
    chunk = [Document(5, "Nothing here.", False), Document(6, TEXT, True), Document(7, "", False), Document(9, TEXT, False)]
    windows = {(window.document, window.ordinal): window for window in chunk_windows(chunk, tokenizer, config)}

    found = rows(Mentions(WORDS).find(chunk, tokenizer, window_width(tokenizer, config)))

    assert [labels()[word] for *_, word in found] == 2 * IN_TEXT
    assert [document for document, *_ in found] == [6] * len(IN_TEXT) + [9] * len(IN_TEXT)
    ends = 2 * Mentions(WORDS).spans(TEXT)
    for (document, ordinal, position, _), (_, end) in zip(found, ends, strict=True):
        before = [i for earlier in range(ordinal) for i in windows[document, earlier].token_ids]
        up_to = [*before, *windows[document, ordinal].token_ids[: position + 1]]
        shape = [re.sub(r"\s", "", tokenizer.decode(ids)).lower() for ids in (up_to[:-1], up_to)]
        text = re.sub(r"\s", "", TEXT[:end]).lower()
        assert shape[1].startswith(text) and not shape[0].startswith(text)


def test_word_of_several_tasks_counts_for_each(bert: LanguageModel) -> None:
    words = Mentions({"months": ("April", "May"), "names": ("May", "June"), "more": ("May",)})

    found = words.find([Document(0, "May or June", False)], bert.tokenizer, 10)

    assert words.n_words == 5
    assert [word for *_, word in rows(found)] == [1, 2, 4, 3]


def test_last_token_of_a_label_that_ends_in_part_of_a_character(models: dict[str, Path]) -> None:
    """A tokenizer of bytes gives each byte of a character the whole character's place."""
    tokenizer = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"]).tokenizer
    text = "a 月 b"
    whole = tokenizer.encode("a 月", add_special_tokens=False)
    assert len(whole) > 3

    found = Mentions({"signs": ("月",)}).find([Document(0, text, False)], tokenizer, 100)

    assert rows(found) == [(0, 0, len(whole) - 1, 0)]


@pytest.mark.parametrize("words", [{}, {"empty": ()}, {"blank": ("", " ")}], ids=["no task", "no label", "blank labels"])
def test_without_a_label_nothing_is_found(words: dict[str, tuple[str, ...]], bert: LanguageModel) -> None:
    found = Mentions(words).find([Document(0, "May  1969", False)], bert.tokenizer, 10)

    assert rows(found) == []
    counts = MentionCounts(Mentions(words).n_words)
    counts.update(found, [0])
    assert counts.state()["mentions"].sum() == 0


def test_slow_tokenizer_finds_nothing() -> None:
    assert rows(Mentions(WORDS).find([Document(0, "May", False)], SimpleNamespace(is_fast=False), 10)) == []


# Documents that came as token ids


@pytest.mark.parametrize("kind", ["gpt2", "pythia", "qwen", "llama", "gemma2"])
def test_token_ids_are_searched_between_their_special_tokens(kind: str, models: dict[str, Path]) -> None:
    tokenizer = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind]).tokenizer
    end, ids = tokenizer.eos_token_id, tokenizer.encode(TEXT, add_special_tokens=False)
    packed = Document(3, "", False, (end, *ids, end, end, *ids, end))

    found = rows(Mentions(WORDS).find([packed], tokenizer, 6))

    once = [
        (window * 6 + at, word) for _, window, at, word in rows(Mentions(WORDS).find([Document(3, TEXT, False)], tokenizer, 6))
    ]
    twice = [*once, *((at + len(ids), word) for at, word in once)]
    assert found == [(3, *divmod(at, 6), word) for at, word in twice]
    assert packed.tokens(tokenizer) == 2 * ids


def test_token_ids_that_the_text_would_not_have_give_nothing(models: dict[str, Path]) -> None:
    tokenizer = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"]).tokenizer
    letters = [tokenizer.convert_tokens_to_ids(letter) for letter in "June"]
    whole = tokenizer.encode("June", add_special_tokens=False)
    assert tokenizer.decode(letters) == "June" and letters != whole
    end = tokenizer.eos_token_id

    found = Mentions(WORDS).find(
        [Document(0, "", False, tuple(letters)), Document(1, "", False, (*letters, end, *whole))], tokenizer, 99
    )

    assert rows(found) == [(1, 0, len(letters) + len(whole) - 1, labels().index("June"))]


# Counts


def test_counts_are_of_mentions_held_out_mentions_and_documents() -> None:
    counts = MentionCounts(3)

    counts.update(mentioned((4, 0, 1, 0), (4, 0, 3, 0), (4, 1, 0, 2), (5, 0, 0, 0)), [3, 4])
    counts.update(mentioned((7, 0, 1, 0), (8, 2, 3, 0), (8, 2, 4, 0)), iter([8]))
    counts.update(mentioned(), [])

    assert {name: column.tolist() for name, column in counts.state().items()} == {
        "mentions": [6, 0, 1],
        "held_out": [4, 0, 1],
        "documents": [4, 0, 1],
    }


def test_counts_of_parts_add_up_and_are_restored() -> None:
    chunks = [mentioned((0, 0, 1, 0), (0, 0, 2, 1)), mentioned((1, 0, 1, 1)), mentioned((2, 0, 0, 0), (2, 0, 5, 0))]
    whole, parts = MentionCounts(2), [MentionCounts(2) for _ in chunks]
    for chunk, part in zip(chunks, parts, strict=True):
        whole.update(chunk, [0, 2])
        part.update(chunk, [0, 2])

    merged = MentionCounts(2)
    merged.restore({name: column.clone() for name, column in parts[2].state().items()})
    merged.merge(parts[0])
    merged.merge(parts[1])

    assert {name: column.tolist() for name, column in merged.state().items()} == {
        "mentions": [3, 2],
        "held_out": [3, 1],
        "documents": [2, 2],
    }
    assert all(torch.equal(merged.state()[name], column) for name, column in whole.state().items())


# Rows


def batch(places: list[tuple[int, int, int]]) -> Tokens:
    document, window, position = torch.tensor(places, dtype=torch.int64).reshape(-1, 3).T.contiguous()
    return Tokens(document, window.int(), position.int(), position.int(), document, document > 0)


PLACES = st.tuples(st.integers(3, 6), st.integers(0, 2), st.integers(0, 3))


@settings(deadline=None, max_examples=200)
@given(
    found=st.lists(st.tuples(st.integers(4, 5), st.integers(0, 1), st.integers(0, 2), st.integers(0, 3)), max_size=12),
    places=st.lists(PLACES, max_size=20, unique=True),
)
def test_rows_of_mentions_equal_those_of_a_slow_search(
    found: list[tuple[int, int, int, int]], places: list[tuple[int, int, int]]
) -> None:
    """Rows come in any order, before, between and behind the mentions; some mentions have no row, some are there twice."""
    row, word = at_rows(mentioned(*found), batch(places))

    expected = {(row, word) for row, place in enumerate(places) for *where, word in found if tuple(where) == place}
    assert list(zip(row.tolist(), word.tolist(), strict=True)) == sorted(expected)


def test_every_mention_of_a_chunk_has_its_row_but_for_special_tokens(bert: LanguageModel) -> None:
    config = StreamConfig(window_tokens=9)
    words = Mentions({"months": MONTHS.labels, "special": ("[MASK]",)})
    chunk = [Document(number, f"{text} June [MASK] May", False) for number, text in enumerate(tiny.documents(30))]
    found = words.find(chunk, bert.tokenizer, window_width(bert.tokenizer, config))
    masked = found.word == 12
    assert int(masked.sum()) == 30

    met = []
    for block in blocks(chunk_windows(chunk, bert.tokenizer, config), bert, config):
        row, word = at_rows(found, block.tokens)
        place = (block.tokens.document[row], block.tokens.window[row], block.tokens.position[row], word)
        met += rows(Mentioned(*place))

    assert sorted(met) == sorted(rows(Mentioned(*(column[~masked] for column in found))))
    assert len(met) > 60
