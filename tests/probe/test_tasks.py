"""A task file becomes labelled sentences whose only difference within a template is the label, or a message that says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.errors import TaskError
from atlas.probe.tasks import Hypothesis, Task, builtin_tasks, load_task

PLAIN = """
name = "sizes"
title = "Sizes"
family = "size"
description = "Four sizes."
cyclic = false
labels = ["tiny", "small", "large", "huge"]

[fills]
person = ["Ann", "Bob"]

[[hypotheses]]
name = "ordinal"
title = "Size order"
kind = "linear"

[[templates]]
group = "a"
text = "{label} shoes fit {person}."

[[templates]]
group = "b"
text = "{person} wears a {label} hat"

[[templates]]
group = "a"
text = "This is {label}, says {person}"
"""


def loaded(folder: Path, text: str = PLAIN) -> Task:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    return load_task(path)


@pytest.fixture(scope="module", params=["months", "weekdays", "numbers", "years"])
def builtin(request: pytest.FixtureRequest) -> Task:
    """Each task that comes with Atlas."""
    return {task.name: task for task in builtin_tasks()}[request.param]


# Sentences


def test_sentences_are_every_label_in_every_template_with_one_name_each(tmp_path: Path) -> None:
    sentences = loaded(tmp_path).sentences()

    assert [sentence.text for sentence in sentences[:5]] == [
        "tiny shoes fit Ann.",
        "small shoes fit Ann.",
        "large shoes fit Ann.",
        "huge shoes fit Ann.",
        "Bob wears a tiny hat",
    ]
    assert [(sentence.template, sentence.label) for sentence in sentences] == [(t, label) for t in range(3) for label in range(4)]


def test_label_stands_where_its_sentence_says(builtin: Task) -> None:
    sentences = builtin.sentences()

    assert len(sentences) == len(builtin.templates) * len(builtin.labels)
    assert [s for s in sentences if s.text[s.start : s.end] != builtin.labels[s.label]] == []


def test_sentences_of_one_template_differ_in_their_label_only(builtin: Task) -> None:
    around: dict[int, set[tuple[str, str]]] = {}
    for sentence in builtin.sentences():
        around.setdefault(sentence.template, set()).add((sentence.text[: sentence.start], sentence.text[sentence.end :]))

    assert {len(texts) for texts in around.values()} == {1}
    assert [texts for texts in around.values() for text in texts if "{" in "".join(text)] == []


def test_numbers_are_labels_with_their_own_values(tmp_path: Path) -> None:
    task = loaded(tmp_path, PLAIN.replace('["tiny", "small", "large", "huge"]', "{ first = 98, last = 101 }"))

    assert task.labels == ("98", "99", "100", "101")
    assert task.values.tolist() == [98.0, 99.0, 100.0, 101.0]


def test_words_have_their_place_as_value(tmp_path: Path) -> None:
    assert loaded(tmp_path).values.tolist() == [0.0, 1.0, 2.0, 3.0]


# Report set and folds


def test_report_set_is_about_a_third_of_the_templates_in_whole_groups(builtin: Task) -> None:
    report = builtin.report()

    assert 0.27 <= report.mean() <= 0.4
    sides = {
        group: {bool(side) for side, g in zip(report, builtin.groups, strict=True) if g == group} for group in builtin.groups
    }
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {False} for side in sides.values()) >= 5, "experts are ranked by folds over groups"


def test_folds_number_the_groups(tmp_path: Path) -> None:
    task = loaded(tmp_path)

    assert task.folds().tolist() == [0, 1, 0]
    assert task.report().tolist() == [False, True, False]


# Hypotheses


@pytest.mark.parametrize(
    ("hypothesis", "shape", "description", "targets"),
    [
        (Hypothesis("r", "R", "ring", 4), "ring", "sine and cosine of 2π · value / 4", [[0, 1], [1, 0], [0, -1], [0, 1]]),
        (Hypothesis("l", "L", "linear", None), "ordinal", "the value", [[0], [1], [2], [8]]),
        (Hypothesis("g", "G", "log", None), "ordinal", "ln(1 + value)", [[0], [np.log(2)], [np.log(3)], [np.log(9)]]),
    ],
    ids=["ring", "linear", "log"],
)
def test_targets_follow_from_the_value(hypothesis: Hypothesis, shape: str, description: str, targets: list[Any]) -> None:
    found = hypothesis.targets(np.array([0.0, 1.0, 2.0, 8.0]))

    np.testing.assert_allclose(found, targets, atol=1e-12)
    assert (hypothesis.shape, hypothesis.description) == (shape, description)


# Refusals


def without(key: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not line.startswith(f"{key} ="))


@pytest.mark.parametrize("key", ["name", "title", "family", "description", "cyclic", "labels", "group", "text", "kind"])
def test_missing_key_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=rf"The task in '.*task\.toml' lacks the key '{key}'"):
        loaded(tmp_path, without(key)(PLAIN))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family =", "family", r"'.*task\.toml' is not TOML: "),
        ("a {label} hat", "a hat", r"Template 1 of '.*' needs \{label\} once and no slot without names: 'Bob wears a hat'"),
        ("a {label} hat", "a {label} {label} hat", r"Template 1 of '.*' needs \{label\} once"),
        (
            "a {label} hat",
            "a {label} {thing}",
            r"Template 1 of '.*' needs .* no slot without names: 'Bob wears a \{label\} \{thing\}'",
        ),
        ('"huge"', '"tiny"', "has a label twice"),
        ('kind = "linear"', 'kind = "ring"', "ordinal.*period|period.*ordinal|lacks the key 'period'"),
        ('kind = "linear"', 'kind = "helix"', "helix"),
    ],
    ids=["no TOML", "no label", "two labels", "empty slot", "label twice", "ring without period", "unknown kind"],
)
def test_file_that_is_not_well_formed_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in PLAIN

    with pytest.raises(TaskError, match=message):
        loaded(tmp_path, PLAIN.replace(old, new))
