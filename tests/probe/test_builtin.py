"""The labelled sentences that come with the atlas: enough of them, well spread, and well formed."""

from __future__ import annotations

import re
import string
import tomllib
from collections import Counter
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import atlas

BUILTIN = Path(atlas.__file__).parent / "probe" / "builtin"
TASKS = ("months", "weekdays", "numbers", "years")


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One task as its file has it."""
    return tomllib.loads((BUILTIN / f"{request.param}.toml").read_text(encoding="utf-8"))


def texts(task: dict[str, Any]) -> list[str]:
    return [template["text"] for template in task["templates"]]


def labels(task: dict[str, Any]) -> list[str]:
    given = task["labels"]
    return [str(n) for n in range(given["first"], given["last"] + 1)] if isinstance(given, dict) else given


def slots(text: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]


def label_part(text: str) -> str:
    """Third of the sentence, in words, in which the label stands."""
    in_order = text.split()
    (place,) = (i for i, word in enumerate(in_order) if "{label}" in word)
    return ("start", "middle", "end")[3 * place // len(in_order)]


def test_every_task_file_is_tested() -> None:
    assert {path.stem for path in BUILTIN.glob("*.toml")} >= set(TASKS)


@pytest.mark.parametrize(
    ("name", "family", "n_labels", "hypotheses"),
    [
        ("months", "calendar", 12, {"cyc_12m": 12, "ordinal": None}),
        ("weekdays", "calendar", 7, {"cyc_7d": 7, "ordinal": None}),
        ("numbers", "number", 100, {"linear": None, "log": None, "mod_10": 10}),
        ("years", "number", 100, {"linear": None, "mod_10": 10}),
    ],
)
def test_task_has_its_labels_and_hypotheses(name: str, family: str, n_labels: int, hypotheses: dict[str, int | None]) -> None:
    task = tomllib.loads((BUILTIN / f"{name}.toml").read_text(encoding="utf-8"))
    assert (task["name"], task["family"], task["cyclic"]) == (name, family, family == "calendar")
    assert len(labels(task)) == len(set(labels(task))) == n_labels
    assert {hypothesis["name"]: hypothesis.get("period") for hypothesis in task["hypotheses"]} == hypotheses
    for hypothesis in task["hypotheses"]:
        assert hypothesis["kind"] in {"ring", "linear", "log"}
        assert ("period" in hypothesis) == (hypothesis["kind"] == "ring")


def test_there_are_enough_templates_in_enough_groups(task: dict[str, Any]) -> None:
    groups = Counter(template["group"] for template in task["templates"])
    assert groups.total() >= 36
    assert len(groups) >= 9
    assert min(groups.values()) >= 4


def test_each_template_names_its_label_once(task: dict[str, Any]) -> None:
    assert [text for text in texts(task) if slots(text).count("label") != 1] == []


def test_no_template_names_another_label(task: dict[str, Any]) -> None:
    of_task = {label.lower() for label in labels(task)}
    for text in texts(task):
        assert of_task.isdisjoint(re.findall(r"\w+", re.sub(r"\{\w+\}", "", text.lower())))


def test_slots_are_all_filled_and_fills_all_used(task: dict[str, Any]) -> None:
    used = {slot for text in texts(task) for slot in slots(text)} - {"label"}
    assert used == set(task["fills"])


def test_a_quarter_to_a_half_of_the_templates_carry_one_name(task: dict[str, Any]) -> None:
    n_names = [len(slots(text)) - 1 for text in texts(task)]
    assert max(n_names) == 1
    assert 0.25 <= sum(n_names) / len(n_names) <= 0.5


def test_names_are_single_words_and_no_labels(task: dict[str, Any]) -> None:
    months_and_days = {
        label
        for name in ("months", "weekdays")
        for label in labels(tomllib.loads((BUILTIN / f"{name}.toml").read_text(encoding="utf-8")))
    }
    for names in task["fills"].values():
        assert len(names) == len(set(names)) >= 6
        assert all(name.isalpha() and name.istitle() and name not in months_and_days for name in names)


def test_sentences_have_six_to_twenty_words(task: dict[str, Any]) -> None:
    assert [text for text in texts(task) if not 6 <= len(text.split()) <= 20] == []


def test_label_stands_at_the_start_in_the_middle_and_at_the_end(task: dict[str, Any]) -> None:
    parts = Counter(label_part(text) for text in texts(task))
    assert min(parts[part] for part in ("start", "middle", "end")) >= 0.2 * parts.total()


def test_label_stands_with_and_without_a_preposition(task: dict[str, Any]) -> None:
    after = Counter(
        re.search(r"\b(in|on|at|by|of|to|from|since|for|until|after|before|during|beyond) \{label\}", text) is not None
        for text in texts(task)
    )
    assert min(after[True], after[False]) >= 0.25 * after.total()


def test_no_two_templates_are_near_duplicates(task: dict[str, Any]) -> None:
    """Nowhere are more than half of the words of two templates shared in order."""
    in_words = [re.findall(r"[\w{}']+", text.lower()) for text in texts(task)]
    alike = [(a, b) for a, b in combinations(in_words, 2) if SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.5]
    assert alike == []


def test_no_template_stands_in_two_tasks() -> None:
    every = [text for name in TASKS for text in texts(tomllib.loads((BUILTIN / f"{name}.toml").read_text(encoding="utf-8")))]
    assert len(every) == len(set(every))
