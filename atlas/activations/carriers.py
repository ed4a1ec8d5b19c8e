"""Carrier sentences: training text in which months, weekdays, numbers and years are in use.

Python documentation hardly names a weekday. A small grammar (`carriers.toml`) supplies sentences that do, and shares no
template, name or topic with the probe templates (tests hold that), so that what a dictionary learns here is the words
and not the sentences it is later probed with. Topics: shipping, astronomy, singing, railway, museum, pottery, weaving,
canal, stamps, caving, clocks, bells.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

GRAMMAR_PATH = Path(__file__).with_name("carriers.toml")

LABELS: dict[str, tuple[str, ...]] = {
    "month": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "number": tuple(str(number) for number in range(100)),
    "year": tuple(str(year) for year in range(1905, 2005)),
}
"""Kind of label, and its labels as they are written."""

SENTENCES_PER_DOCUMENT = (3, 6)
"""Fewest and most."""

COMMON_WORDS = frozenset(
    """
    about above after again along another anyone around because before behind below between beyond could during early
    every first might never nobody nothing other others since still their there these those though three through
    throughout towards twice under until where which while whose without would
    """.split()
)
"""Words of five letters and more that say nothing about a topic."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Topic:
    """What can be said about one topic; any verb goes with any object and tail."""

    name: str
    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    tails: tuple[str, ...]
    items: tuple[str, ...]
    """Things that carry a number, each with the slot {label}."""


@dataclass(frozen=True)
class Grammar:
    """Frames for each kind of label, and the topics that fill them."""

    frames: dict[str, tuple[str, ...]]
    topics: tuple[Topic, ...]


class Deck(Generic[Item]):
    """Items dealt in random order, each once before any comes again."""

    def __init__(self, items: tuple[Item, ...], rng: random.Random) -> None:
        self._items = items
        self._rng = rng
        self._left: list[Item] = []

    def deal(self) -> Item:
        """Return the next item, shuffling anew when all are dealt."""
        if not self._left:
            self._left = list(self._items)
            self._rng.shuffle(self._left)
        return self._left.pop()


@cache
def grammar() -> Grammar:
    """Return the carrier grammar."""
    raw = tomllib.loads(GRAMMAR_PATH.read_text(encoding="utf-8"))
    return Grammar(
        frames={kind: tuple(raw["frames"][kind]) for kind in LABELS},
        topics=tuple(
            Topic(
                name=topic["name"],
                subjects=tuple(topic["subjects"]),
                verbs=tuple(topic["verbs"]),
                objects=tuple(topic["objects"]),
                tails=tuple(topic["tails"]),
                items=tuple(topic["items"]),
            )
            for topic in raw["topics"]
        ),
    )


def carrier_documents(n: int, seed: int) -> list[str]:
    """Return `n` documents of three to six carrier sentences, each document on one topic.

    The same `n` and `seed` give the same text, and the first documents of a longer list are those of a shorter one. All
    four kinds of label come equally often, and within a kind no label comes again before every other has come.
    """
    rng = random.Random(seed)
    rules = grammar()
    topics = Deck(rules.topics, rng)
    kinds = Deck(tuple(LABELS), rng)
    labels = {kind: Deck(of_kind, rng) for kind, of_kind in LABELS.items()}
    frames = {kind: Deck(of_kind, rng) for kind, of_kind in rules.frames.items()}

    documents = []
    for _ in range(n):
        topic = topics.deal()
        subjects = Deck(topic.subjects, rng)
        objects = Deck(topic.objects, rng)
        sentences = []
        for _ in range(rng.randint(*SENTENCES_PER_DOCUMENT)):
            kind = kinds.deal()
            label = labels[kind].deal()
            text = (
                frames[kind]
                .deal()
                .format(
                    subject=subjects.deal(),
                    verb=rng.choice(topic.verbs),
                    object=objects.deal(),
                    tail=rng.choice(topic.tails),
                    item=rng.choice(topic.items).format(label=label),
                    label=label,
                )
            )
            sentences.append(text[0].upper() + text[1:] + ".")
        documents.append(" ".join(sentences))
    return documents


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; hyphens part words, and a possessive ending is dropped."""
    return re.findall(r"[^\W_]+(?:'(?!s\b)[^\W_]+)*", text.lower())


def is_content_word(word: str) -> bool:
    """Tell whether a word in lower case says something about a topic: five letters or more, no label, not common."""
    return len(word) >= 5 and word.isalpha() and word not in COMMON_WORDS and word not in _label_words()


def content_words() -> frozenset[str]:
    """Return every content word that the grammar can write."""
    rules = grammar()
    texts = [frame for frames in rules.frames.values() for frame in frames]
    for topic in rules.topics:
        texts += [*topic.subjects, *topic.verbs, *topic.objects, *topic.tails, *topic.items]
    return frozenset(word for text in texts for word in words(re.sub(r"\{\w+\}", " ", text)) if is_content_word(word))


@cache
def _label_words() -> frozenset[str]:
    return frozenset(label.lower() for labels in LABELS.values() for label in labels)
