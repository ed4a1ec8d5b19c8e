"""A task file becomes labelled sentences whose only difference within a template is the label, or a message that says why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.errors import TaskError
from atlas.probe.scores.newton import MAX_CLASSES
from atlas.probe.tasks import BUILTIN, BUILTIN_TASKS, Hypothesis, Task, builtin_tasks, load_task

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

[[templates]]
group = "c"
text = "How {label}!"
"""

KIND = 'kind = "linear"'


def loaded(folder: Path, text: str = PLAIN) -> Task:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    return load_task(path)


def only(folder: Path, kind: str, head: str = "") -> Hypothesis:
    """The hypothesis of a task whose one hypothesis is of another kind."""
    text = PLAIN.replace(KIND, kind)
    (found,) = loaded(folder, text.replace("[fills]", f"{head}\n[fills]")).hypotheses
    return found


@pytest.fixture(scope="module")
def builtins() -> dict[str, Task]:
    return {task.name: task for task in builtin_tasks()}


@pytest.fixture(params=BUILTIN_TASKS)
def builtin(request: pytest.FixtureRequest, builtins: dict[str, Task]) -> Task:
    """Each task that comes with Atlas."""
    return builtins[request.param]


# Sentences


def test_sentences_are_every_label_in_every_template_with_one_name_each(tmp_path: Path) -> None:
    sentences = loaded(tmp_path).sentences

    assert [sentence.text for sentence in sentences[:5]] == [
        "tiny shoes fit Ann.",
        "small shoes fit Ann.",
        "large shoes fit Ann.",
        "huge shoes fit Ann.",
        "Bob wears a tiny hat",
    ]
    assert [(sentence.template, sentence.label) for sentence in sentences] == [(t, label) for t in range(4) for label in range(4)]


def test_tasks_come_in_their_order(builtins: dict[str, Task]) -> None:
    assert tuple(builtins) == BUILTIN_TASKS


def test_label_stands_where_its_sentence_says(builtin: Task) -> None:
    assert [s for s in builtin.sentences if s.text[s.start : s.end] != builtin.labels[s.label]] == []


def test_sentences_of_one_template_differ_in_their_label_only(builtin: Task) -> None:
    around: dict[int, set[tuple[str, str]]] = {}
    for sentence in builtin.sentences:
        around.setdefault(sentence.template, set()).add((sentence.text[: sentence.start], sentence.text[sentence.end :]))

    assert {len(texts) for texts in around.values()} == {1}
    assert set(around) == set(range(len(builtin.groups)))
    assert [texts for texts in around.values() for text in texts if "{" in "".join(text)] == []


def test_label_stands_in_as_many_templates_of_every_group_as_of_any_other(builtin: Task) -> None:
    """So that no fold lacks a label, and no group can be told from it."""
    of_label: dict[int, Counter[str]] = {}
    for sentence in builtin.sentences:
        of_label.setdefault(sentence.label, Counter())[builtin.groups[sentence.template]] += 1
    size = Counter(builtin.groups)
    times = Counter(sentence.template for sentence in builtin.sentences)

    assert set(of_label) == set(range(len(builtin.labels)))
    for groups in of_label.values():
        assert set(groups) == set(size)
        assert max(groups.values()) - min(groups.values()) <= max(1, max(size.values()) - min(size.values()))
    assert max(times.values()) - min(times.values()) <= 2


@pytest.mark.parametrize(
    "name", [f"{name}" for name in BUILTIN_TASKS if "templates_per_label" in (BUILTIN / f"{name}.toml").read_text()]
)
@pytest.mark.parametrize("period", [2, 3, 5])
def test_template_does_not_tell_a_label_that_stands_in_some_of_them(name: str, period: int, builtins: dict[str, Task]) -> None:
    """Were templates dealt in turn, each would have labels of one remainder only."""
    task = builtins[name]
    table = np.zeros((len(task.groups), period))
    for sentence in task.sentences:
        table[sentence.template, sentence.label % period] += 1
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    chi_squared = ((table - expected) ** 2 / expected).sum()

    freedom = (len(table) - 1) * (period - 1)
    assert chi_squared < freedom + 4 * np.sqrt(2 * freedom)


def test_labels_stand_in_some_templates_only(tmp_path: Path) -> None:
    task = loaded(tmp_path, PLAIN.replace("[fills]", "templates_per_label = 2\n[fills]"))

    assert Counter(sentence.label for sentence in task.sentences) == dict.fromkeys(range(4), 2)
    assert set(Counter(sentence.template for sentence in task.sentences).values()) <= {1, 2, 3}
    assert len({sentence[:3] for sentence in task.sentences}) == 8


def test_numbers_are_labels_with_their_own_values(tmp_path: Path) -> None:
    task = loaded(tmp_path, PLAIN.replace('["tiny", "small", "large", "huge"]', "{ first = 98, last = 101 }"))

    assert task.labels == ("98", "99", "100", "101")
    assert task.values.tolist() == [98.0, 99.0, 100.0, 101.0]


def test_number_may_have_a_unit(tmp_path: Path) -> None:
    task = loaded(tmp_path, PLAIN.replace('["tiny", "small", "large", "huge"]', '{ first = -1, last = 1, suffix = "°F" }'))

    assert task.labels == ("-1°F", "0°F", "1°F")
    assert task.values.tolist() == [-1.0, 0.0, 1.0]
    assert task.sentences[0].text[: task.sentences[0].end] == "-1°F"


def test_words_have_their_place_as_value_unless_one_is_given(tmp_path: Path) -> None:
    assert loaded(tmp_path).values.tolist() == [0.0, 1.0, 2.0, 3.0]
    given = PLAIN.replace("[fills]", "values = [1, 2.5, 4, 8]\n[fills]")
    assert loaded(tmp_path, given).values.tolist() == [1.0, 2.5, 4.0, 8.0]


def test_what_is_not_stated_is_plain(tmp_path: Path) -> None:
    task = loaded(tmp_path)

    assert (task.colours, task.needs, task.natural_mentions, task.matrix, task.remarks) == ((), (), True, None, ())
    assert task.assumptions == ()


def test_colours_needs_and_mentions_are_taken_over(tmp_path: Path) -> None:
    head = 'colours = ["#FF0000", "#00ff00", "#0000ff", "#888888"]\nneeds = ["causal", "case"]\nnatural_mentions = false\n[fills]'
    task = loaded(tmp_path, PLAIN.replace("[fills]", head))

    assert task.colours == ("#ff0000", "#00ff00", "#0000ff", "#888888")
    assert task.needs == ("case", "causal") and not task.natural_mentions


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

    assert task.folds().tolist() == [0, 1, 0, 2]
    assert task.report().tolist() == [False, True, False, False]


# Fingerprint


def test_fingerprint_is_of_everything_that_a_task_holds(tmp_path: Path) -> None:
    task = loaded(tmp_path)
    (hypothesis,) = task.hypotheses
    changed = [
        replace(task, title="Extents"),
        replace(task, needs=("case",)),
        replace(task, values=task.values + 1),
        replace(task, groups=("a", "b", "c", "c")),
        replace(task, sentences=task.sentences[1:]),
        replace(task, remarks=("One row left out.",)),
        replace(task, assumptions=("One row left out.",)),
        replace(task, matrix=np.zeros((16, 2), dtype=np.float32)),
        replace(task, matrix=np.zeros((2, 16), dtype=np.float32)),
        replace(task, hypotheses=(replace(hypothesis, probe="ridge"),)),
        replace(task, hypotheses=(replace(hypothesis, of_label=None, of_row=hypothesis.of_label),)),
    ]

    assert loaded(tmp_path).fingerprint() == task.fingerprint()
    assert len({one.fingerprint() for one in [task, *changed]}) == 12


# Hypotheses


@pytest.mark.parametrize(
    ("stated", "shape", "probe", "description", "targets"),
    [
        ('kind = "ring"\nperiod = 4', "ring", "linear", "sine and cosine of 2π · value / 4", [[0, 1], [1, 0], [0, -1], [0, 1]]),
        (
            'kind = "ring"\ndegrees = [0, 90, 180, 270]',
            "ring",
            "linear",
            "sine and cosine of an angle given for each label",
            [[0, 1], [1, 0], [0, -1], [-1, 0]],
        ),
        (KIND, "ordinal", "linear", "the value", [[0], [1], [2], [8]]),
        (f'{KIND}\nprobe = "ridge"\ndescription = "its size"', "ordinal", "ridge", "its size", [[0], [1], [2], [8]]),
        ('kind = "log"', "ordinal", "linear", "ln(1 + value)", [[0], [np.log(2)], [np.log(3)], [np.log(9)]]),
        (
            'kind = "map"\ntargets = [[1, 0], [0.5, 0], [0, 1], [0, 2]]',
            "map",
            "linear",
            "numbers given for each label",
            [[1, 0], [0.5, 0], [0, 1], [0, 2]],
        ),
    ],
    ids=["ring", "angles", "linear", "ridge", "log", "map"],
)
def test_targets_follow_from_what_is_stated(
    stated: str, shape: str, probe: str, description: str, targets: list[Any], tmp_path: Path
) -> None:
    found = only(tmp_path, stated, "values = [0, 1, 2, 8]")

    assert found.of_label is not None and found.of_row is None
    np.testing.assert_allclose(found.of_label, targets, atol=1e-12)
    assert (found.shape, found.probe, found.description, found.class_names) == (shape, probe, description, ())


def test_two_classes_are_logistic_and_more_multinomial(tmp_path: Path) -> None:
    two = only(tmp_path, 'kind = "classes"\nclasses = { big = ["huge", "large"], small = ["tiny", "small"] }')
    three = only(tmp_path, 'kind = "classes"\nclasses = { a = ["tiny"], b = ["large"], c = ["small", "huge"] }')
    asked = only(tmp_path, 'kind = "classes"\nprobe = "multinomial"\nclasses = { b = ["huge", "large"], s = ["tiny", "small"] }')

    assert two.of_label is not None and two.of_label.tolist() == [[1.0], [1.0], [0.0], [0.0]]
    assert (two.class_names, two.shape, two.probe) == (("big", "small"), "classes", "logistic")
    assert three.of_label is not None and three.of_label.tolist() == [[0.0], [2.0], [1.0], [2.0]]
    assert (three.class_names, three.probe, asked.probe) == (("a", "b", "c"), "multinomial", "multinomial")


def test_targets_of_all_tasks_have_a_row_for_each_label(builtin: Task) -> None:
    for hypothesis in builtin.hypotheses:
        assert hypothesis.of_label is not None and len(hypothesis.of_label) == len(builtin.labels)
        assert hypothesis.probe in (("logistic", "multinomial") if hypothesis.class_names else ("linear", "ridge"))


# Refusals


def without(key: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not line.startswith(f"{key} ="))


@pytest.mark.parametrize(
    ("key", "whose"),
    [
        *((key, r"The task in '.*task\.toml'") for key in ("name", "title", "family", "description", "cyclic", "labels")),
        *((key, r"Template 0 of '.*task\.toml'") for key in ("group", "text")),
        ("kind", r"The hypothesis 'ordinal' of the task in '.*task\.toml'"),
    ],
)
def test_missing_key_is_named(key: str, whose: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=rf"^{whose} lacks the key '{key}'; it takes "):
        loaded(tmp_path, without(key)(PLAIN))


CLASSES = 'kind = "classes"\nclasses = '


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family =", "family", r"^'.*task\.toml' is not TOML: "),
        ("a {label} hat", "a hat", r"^Template 1 of '.*' needs \{label\} once and no slot without names: 'Bob wears a hat'\.$"),
        ("a {label} hat", "a {label} {label} hat", r"^Template 1 of '.*' needs \{label\} once"),
        (
            "a {label} hat",
            "a {label} {thing}",
            r"^Template 1 of '.*' needs .* no slot without names: 'Bob wears a \{label\} \{thing\}'\.$",
        ),
        ('"huge"', '"tiny"', "has the label 'tiny' twice; leave one"),
        ('["tiny", "small", "large", "huge"]', '["tiny"]', "has only the label 'tiny'; a task takes at least 2"),
        ('["tiny", "small", "large", "huge"]', '"tiny"', "has labels = 'tiny'; it takes a list of texts"),
        ('["tiny", "small", "large", "huge"]', "{ first = 5, last = 1 }", "has labels from 5 to 1; a task has 2 labels or more"),
        ('["tiny", "small", "large", "huge"]', "{ first = 5 }", "^The table labels of the task in '.*' lacks the key 'last'"),
        ("cyclic = false", 'cyclic = "no"', "has cyclic = 'no'; it takes true or false"),
        ("cyclic = false", "cyclic = false\ncylic = 3", "has the key 'cylic', which says nothing here; it takes .*cyclic"),
        ("cyclic = false", "cyclic = false\nvalues = [1, 2]", "has 2 values for 4 labels; give one for each"),
        ("cyclic = false", "cyclic = false\nvalues = [1, 2, nan, 4]", "has values = .*; it takes a list of numbers"),
        ("cyclic = false", 'cyclic = false\ncolours = ["#ff0000"]', "has 1 colour for 4 labels"),
        (
            "cyclic = false",
            'cyclic = false\ncolours = ["#ff0000", "red", "#00ff00", "#0000ff"]',
            "has the colour 'red'; a colour is written as #1a6fcc",
        ),
        ("cyclic = false", 'cyclic = false\nneeds = ["capitals"]', "needs 'capitals'; a task can need case, newline or causal"),
        ("cyclic = false", "cyclic = false\ntemplates_per_label = 5", "has templates_per_label = 5, and 4 templates; give fewer"),
        ("cyclic = false", "cyclic = false\ntemplates_per_label = 0", "has templates_per_label = 0; it takes an integer from 1"),
        ('group = "c"', 'group = "a"', "has templates in 2 groups; folds and report set are groups, so give 3 or more"),
        ('group = "c"', 'group = "c"\nweight = 2', "^Template 3 of '.*' has the key 'weight'"),
        (KIND, 'kind = "ring"', "^The hypothesis 'ordinal' of the task in '.*' lacks the key 'period'"),
        (KIND, 'kind = "ring"\nperiod = 0', "has period = 0; it takes a number above 0"),
        (KIND, 'kind = "ring"\ndegrees = [1, 2]', "has 2 degrees for 4 labels; give one for each"),
        (KIND, 'kind = "helix"', "is of the kind 'helix'; Atlas knows ring, linear, log, map and classes"),
        (KIND, f"{KIND}\nperiod = 3", "has the key 'period', which says nothing here"),
        (KIND, f'{KIND}\nprobe = "logistic"', "has probe = 'logistic'; it takes linear or ridge"),
        (KIND, f'{KIND}\ncolumns = ["size"]', "has the key 'columns', which says nothing here"),
        (KIND, 'kind = "map"', "lacks the key 'targets'; it takes a list of numbers for each label"),
        (KIND, 'kind = "map"\ntargets = [[1], [2]]', "has targets for 2 labels; there are 4"),
        (KIND, 'kind = "map"\ntargets = [[1], [2], [3, 4], [5]]', "has targets of 1 and 2 numbers; give equally many"),
        (
            KIND,
            'kind = "map"\ntargets = [[1, 0], [2, 0], [3, 0], [4, 0]]',
            "cannot be tested: number 2 of its targets is the same in every label",
        ),
        (
            KIND,
            'kind = "log"\n[[hypotheses]]\nname = "ordinal"\ntitle = "Again"\nkind = "log"',
            "^Two hypotheses of .* have the name 'ordinal'; rename one",
        ),
        (KIND, f'{CLASSES}{{ a = ["tiny", "small", "large", "huge"] }}', "takes classes = .* two of them or more"),
        (
            KIND,
            f'{CLASSES}{{ a = ["tiny"], b = ["small", "large", "vast"] }}',
            "has 'vast' in the class 'b'; the labels are tiny, small, large and huge",
        ),
        (KIND, f'{CLASSES}{{ a = ["tiny"], b = ["small", "large"] }}', "has the label 'huge' in no class; each label is in one"),
        (KIND, f'{CLASSES}{{ a = ["tiny", "huge"], b = ["small", "large", "huge"] }}', "has the label 'huge' in two classes"),
        (KIND, f'{CLASSES}{{ a = ["tiny", "huge", "small", "large"], b = [] }}', "has no label in the class 'b'"),
        ('name = "sizes"', 'name = "../sizes"', r"has the name '\.\./sizes'; a name is letters, digits"),
        ('title = "Sizes"', 'title = "Sizes\\n"', "has title = .*; it takes one line of text, without control characters"),
        ('family = "size"', 'family = "\\t"', "has family = .*; it takes one line of text"),
        (
            "cyclic = false",
            "cyclic = false\ntemplates_per_label = 1",
            "^The hypothesis 'ordinal' of .* cannot be tested: its target is the same in every row of the report set",
        ),
    ],
)
def test_file_that_is_not_well_formed_is_refused_in_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in PLAIN

    with pytest.raises(TaskError, match=message) as refused:
        loaded(tmp_path, PLAIN.replace(old, new))
    assert "\n" not in str(refused.value)


def test_more_classes_than_can_be_told_apart_are_refused(tmp_path: Path) -> None:
    labels = [f"w{n}" for n in range(MAX_CLASSES + 1)]
    classes = ", ".join(f'{label} = ["{label}"]' for label in labels)
    text = PLAIN.replace('["tiny", "small", "large", "huge"]', str(labels)).replace(KIND, f"{CLASSES}{{ {classes} }}")

    with pytest.raises(
        TaskError, match="^The hypothesis 'ordinal' of .* cannot be tested: it has 65 classes, and 64 can be told"
    ):
        loaded(tmp_path, text)


def test_value_without_logarithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be tested: its target is no finite number in 1 of 4 labels"):
        only(tmp_path, 'kind = "log"', "values = [-1, 0, 1, 2]")


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.toml' cannot be read: No such file"):
        load_task(tmp_path / "none.toml")
