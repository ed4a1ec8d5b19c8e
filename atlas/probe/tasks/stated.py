"""What a TOML file states, read key by key: a missing key, a wrong value and an unknown key are each refused by name."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from atlas.errors import TaskError

LARGEST = 1e150
"""Numbers beyond this are refused: their squares could not be held."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
"""A number as a text spells it."""

LARGEST_RANGE = 10_000
"""Labels that a range may count; more are a mistake."""

MOST_LISTED = 12

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line breaks, marks that turn the direction of writing, and halves of surrogate pairs."""


class Stated:
    """A table of a TOML file."""

    def __init__(self, table: dict[str, Any], who: str) -> None:
        self.who = who
        """What a message is said of: `The task in 'cells.toml'`."""
        self._table = table
        self._asked: list[str] = []

    def has(self, key: str) -> bool:
        """Return whether a key is there, which makes it a known one."""
        self._asked.append(key)
        return key in self._table

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty; without a default it must be there."""
        value: str = self._value(key, default, lambda value: isinstance(value, str) and bool(value.strip()), "text")
        return value

    def line(self, key: str, default: str | None = None) -> str:
        """Return a text of one line, which moves no cursor; without a default it must be there."""
        value: str = self._value(key, default, _is_line, "one line of text, without control characters")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Return one of the known words."""
        value: str = self._value(key, default, lambda value: value in known, listed(known, "or"))
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false."""
        value: bool = self._value(key, default, lambda value: isinstance(value, bool), "true or false")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """Return an integer from 1."""
        value: int = self._value(key, default, lambda value: type(value) is int and 1 <= value < 2**31, "an integer from 1")
        return value

    def integer(self, key: str) -> int:
        """Return an integer."""
        value: int = self._value(key, None, lambda value: type(value) is int and abs(value) < 2**53, "an integer")
        return value

    def number(self, key: str) -> float:
        """Return a number above 0."""
        return float(self._value(key, None, lambda value: is_number(value) and value > 0, "a number above 0"))

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self._value(key, default, _are_texts, "a list of texts"))

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers."""
        value = self._value(key, None, lambda value: isinstance(value, list) and all(map(is_number, value)), "a list of numbers")
        return [float(number) for number in value]

    def tables(self, key: str) -> list[dict[str, Any]]:
        """Return a list of tables; none if the key is not there."""
        value: list[dict[str, Any]] = self._value(
            key, [], lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value), "a list of tables"
        )
        return value

    def any(self, key: str) -> Any:
        """Return whatever stands there, and nothing if the key is not there."""
        self._asked.append(key)
        return self._table.get(key)

    def wrong(self, key: str, wanted: str) -> TaskError:
        """Return what to raise of a value that is not what it should be."""
        return TaskError(f"{self.who} has {key} = {shortened(self._table[key])}; it takes {wanted}.")

    def nothing_else(self) -> None:
        """Refuse keys that nobody asked for.

        Raises:
            TaskError: there is one; what could stand there is named.
        """
        known = list(dict.fromkeys(self._asked))
        if unknown := [key for key in self._table if key not in known]:
            raise TaskError(f"{self.who} has the key {unknown[0]!r}, which says nothing here; it takes {listed(known)}.")

    def _value(self, key: str, default: Any, fits: Callable[[Any], bool], wanted: str) -> Any:
        self._asked.append(key)
        if key not in self._table:
            if default is None:
                raise TaskError(f"{self.who} lacks the key {key!r}; it takes {wanted}.")
            return default
        if not fits(self._table[key]):
            raise self.wrong(key, wanted)
        return self._table[key]


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        TaskError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise TaskError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"'{path}' is not text in UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TaskError(f"'{path}' is not TOML: {error}.") from error


def stated_labels(stated: Stated) -> tuple[tuple[str, ...], list[float]]:
    """Return the labels that a table lists, or counts from `first` to `last`, and each one's value.

    Raises:
        TaskError: they are neither, one stands twice, or there are not as many values.
    """
    given = stated.any("labels")
    if not isinstance(given, dict):
        labels = stated.texts("labels")
        if twice := repeated(labels):
            raise TaskError(f"{stated.who} has the label {twice!r} twice; leave one.")
        return labels, stated_values(stated, labels)
    counted = Stated(given, f"The table labels of t{stated.who[1:]}")
    first, last = counted.integer("first"), counted.integer("last")
    suffix = counted.text("suffix") if counted.has("suffix") else ""
    counted.nothing_else()
    if not 0 < last - first < LARGEST_RANGE:
        raise TaskError(
            f"{stated.who} has labels from {first} to {last}; a task has 2 labels or more, and at most {LARGEST_RANGE:,}."
        )
    numbers = range(first, last + 1)
    labels = tuple(f"{n}{suffix}" for n in numbers)
    return labels, stated_values(stated, labels) if stated.has("values") else [float(n) for n in numbers]


def stated_values(stated: Stated, labels: tuple[str, ...]) -> list[float]:
    """Return each label's value: as given, or the number that it spells, or else its place.

    Raises:
        TaskError: there are not as many values as labels.
    """
    if not stated.has("values"):
        return [float(label) for label in labels] if are_numbers(labels) else [float(n) for n in range(len(labels))]
    values = stated.numbers("values")
    if len(values) != len(labels):
        raise TaskError(f"{stated.who} has {counted(len(values), 'value')} for {len(labels)} labels; give one for each.")
    return values


def stated_colours(stated: Stated, n_labels: int) -> tuple[str, ...]:
    """Return the colours of the labels; none if none are given.

    Raises:
        TaskError: they are not as many as labels, or one is no colour.
    """
    colours = stated.texts("colours", ())
    if colours and len(colours) != n_labels:
        raise TaskError(f"{stated.who} has {counted(len(colours), 'colour')} for {n_labels} labels; give one for each, or none.")
    if wrong := [colour for colour in colours if not re.fullmatch("#[0-9a-fA-F]{6}", colour)]:
        raise TaskError(f"{stated.who} has the colour {wrong[0]!r}; a colour is written as #1a6fcc.")
    return tuple(colour.lower() for colour in colours)


def repeated(words: Iterable[str]) -> str | None:
    """Return the first word that stands twice."""
    return next((word for word, times in Counter(words).items() if times > 1), None)


def is_number(value: Any) -> bool:
    """Return whether a value is a number that is finite and not too large."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def are_numbers(words: Iterable[str]) -> bool:
    """Return whether every word spells a number that is not too large."""
    return all(NUMBER.fullmatch(word) and is_number(float(word)) for word in words)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: `1 template`, `1,200 templates`."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def one_line(text: str) -> str:
    """Return a text in one line that moves no cursor."""
    return _UNSAFE.sub(lambda found: "↵" if found[0] == "\n" else " ", text)


def listed(words: list[str] | tuple[str, ...], last: str = "and") -> str:
    """Return words as a sentence lists them, the first dozen of many."""
    words = [one_line(word) for word in words]
    if len(words) > MOST_LISTED:
        return f"{', '.join(words[:MOST_LISTED])} {last} {len(words) - MOST_LISTED} more"
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def shortened(value: Any) -> str:
    """Return a value in one line of at most 60 characters."""
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:59]}…"


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _UNSAFE.search(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
