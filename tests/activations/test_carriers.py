"""Carrier sentences cover every label evenly, and share nothing with the probe sentences but the labels."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

import atlas
from atlas.activations.carriers import (
    LABELS,
    carrier_documents,
    content_words,
    grammar,
    is_content_word,
    words,
)

BUILTIN = Path(atlas.__file__).parent / "probe" / "builtin"
LABEL = re.compile(r"\b(?:" + "|".join(sorted((b for a in LABELS.values() for b in a), key=len, reverse=True)) + r")\b")
TITLES = {"bosun", "dr", "miss", "mr", "mrs"}


def with_slot(text: str) -> list[str]:
    """The words of a text, with "slot" for every label."""
    return words(LABEL.sub("slot", re.sub(r"\{label\}", "slot", text)))


def runs(texts: Iterable[str], length: int) -> set[tuple[str, ...]]:
    """Every run of so many words within one of the texts."""
    found: set[tuple[str, ...]] = set()
    for text in texts:
        in_order = with_slot(text)
        found.update(zip(*(in_order[i:] for i in range(length)), strict=False))
    return found


@cache
def probe_tasks() -> list[dict]:
    """Every file with sentences; one without defines the labels of sentences that a user brings."""
    tasks = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(BUILTIN.glob("*.toml"))]
    return [task for task in tasks if "templates" in task]


@cache
def probe_sentences() -> list[str]:
    """Every template with every name that can fill it."""
    sentences = []
    for task in probe_tasks():
        for template in task["templates"]:
            texts = {template["text"]}
            for slot, names in task["fills"].items():
                texts = {text.replace("{" + slot + "}", name) for text in texts for name in names}
            sentences += sorted(texts)
    return sentences


@cache
def carrier_sentences() -> list[str]:
    """Some 18,000 sentences: each topic meets each frame nearly 40 times."""
    return [sentence for text in carrier_documents(4000, seed=11) for sentence in text.split(". ")]


def label_counts(documents: list[str]) -> Counter[str]:
    return Counter(label for text in documents for label in LABEL.findall(text))


def test_same_seed_gives_the_same_documents_and_another_seed_others() -> None:
    assert carrier_documents(50, seed=3) == carrier_documents(50, seed=3)
    assert set(carrier_documents(50, seed=3)).isdisjoint(carrier_documents(50, seed=4))


def test_a_shorter_list_is_the_beginning_of_a_longer_one() -> None:
    assert carrier_documents(50, seed=3)[:20] == carrier_documents(20, seed=3)


@pytest.mark.parametrize("seed", range(5))
def test_every_label_occurs_often_enough_in_400_documents(seed: int) -> None:
    counts = label_counts(carrier_documents(400, seed))
    least = {kind: min(counts[label] for label in of_kind) for kind, of_kind in LABELS.items()}
    assert least["month"] >= 20
    assert least["weekday"] >= 20
    assert least["number"] >= 3
    assert least["year"] >= 3


def test_kinds_of_label_come_equally_often_and_labels_of_a_kind_too() -> None:
    counts = label_counts(carrier_documents(400, seed=0))
    totals = [sum(counts[label] for label in of_kind) for of_kind in LABELS.values()]
    assert max(totals) - min(totals) <= 1
    for of_kind in LABELS.values():
        each = [counts[label] for label in of_kind]
        assert max(each) - min(each) <= 1


def test_documents_are_a_few_sentences_with_one_label_each() -> None:
    for text in carrier_documents(400, seed=0):
        sentences = text.removesuffix(".").split(". ")
        assert 3 <= len(sentences) <= 6
        assert all(len(LABEL.findall(sentence)) == 1 for sentence in sentences)
        assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in sentences)


def test_sentences_hardly_repeat() -> None:
    sentences = [sentence for text in carrier_documents(400, seed=0) for sentence in text.split(". ")]
    without_labels = {" ".join(with_slot(sentence)) for sentence in sentences}
    assert len(without_labels) >= 0.95 * len(sentences)


def test_every_piece_of_the_grammar_is_well_formed() -> None:
    for kind, frames in grammar().frames.items():
        for frame in frames:
            slot = "{item}" if kind == "number" and "{item}" in frame else "{label}"
            assert frame.count("{label}") + frame.count("{item}") == frame.count(slot) == 1
    for topic in grammar().topics:
        assert all(item.count("{label}") == 1 for item in topic.items)
        pieces = [*topic.subjects, *topic.verbs, *topic.objects, *topic.tails, *topic.items]
        assert len(pieces) == len(set(pieces))


def test_no_four_words_in_a_row_stand_in_carriers_and_probes() -> None:
    assert runs(carrier_sentences(), 4) & runs(probe_sentences(), 4) == set()


def test_no_name_stands_in_carriers_and_probes() -> None:
    pieces = [piece for topic in grammar().topics for piece in (*topic.subjects, *topic.objects, *topic.tails, *topic.items)]
    names = {name.lower() for piece in pieces for name in re.findall(r"\b[A-Z]\w+", piece)} - TITLES
    assert names
    assert names.isdisjoint(word for sentence in probe_sentences() for word in words(sentence))


def test_no_topic_is_in_carriers_and_probes() -> None:
    groups = {template["group"] for task in probe_tasks() for template in task["templates"]}
    topics = {topic.name for topic in grammar().topics}
    assert topics.isdisjoint(groups)
    assert topics.isdisjoint(word for sentence in probe_sentences() for word in words(sentence))
    assert groups.isdisjoint(content_words())


def test_carriers_use_few_content_words_of_the_probes() -> None:
    of_probes = {word for sentence in probe_sentences() for word in words(sentence) if is_content_word(word)}
    shared = content_words() & of_probes
    assert len(shared) <= 0.05 * len(content_words()), sorted(shared)


def test_content_words_are_those_of_the_documents() -> None:
    written = {word for sentence in carrier_sentences() for word in words(sentence) if is_content_word(word)}
    assert written == content_words()


def test_no_pair_of_content_words_stands_in_carriers_and_probes() -> None:
    def pairs(sentences: list[str]) -> set[tuple[str, ...]]:
        return {pair for pair in runs(sentences, 2) if all(map(is_content_word, pair))}

    assert pairs(carrier_sentences()) & pairs(probe_sentences()) == set()
