"""A user's table becomes a task; what cannot be used of it is left out and said, and a task that cannot be made is refused."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from atlas.errors import TaskError
from atlas.probe.scores.newton import MAX_CLASSES
from atlas.probe.tasks import Hypothesis, Task, chosen_tasks, user_task
from atlas.probe.tasks.user import last_mention

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday")
CONTEXTS = (
    "We met on {} again",
    "It rained all {}.",
    "{} was dull",
    "Call me next {}!",
    "No {} like this",
    "The {} train left",
    "On {} we rest",
    "Since {} it snows",
    "Until {} then",
)

Row = dict[str, Any]


def rows(labels: Sequence[str] = DAYS, contexts: Sequence[str] = CONTEXTS, **columns: Sequence[Any]) -> list[Row]:
    """Every label in every context, with more columns that are given for each label."""
    return [
        {"text": context.format(label), "label": label, **{name: of_label[n] for name, of_label in columns.items()}}
        for context in contexts
        for n, label in enumerate(labels)
    ]


def written(folder: Path, table: Sequence[Row], toml: str | None = None, name: str = "days.jsonl") -> str:
    """Write a table, and a TOML file beside it, and return its path."""
    path = folder / name
    path.write_text("\n".join(map(json.dumps, table)), encoding="utf-8")
    if toml is not None:
        (folder / "days.toml").write_text(toml, encoding="utf-8")
    return str(path)


def made(folder: Path, table: Sequence[Row], toml: str | None = None) -> Task:
    return user_task(written(folder, table, toml))


def stated(name: str, kind: str, rest: str) -> str:
    return f'[[hypotheses]]\nname = "{name}"\ntitle = "{name.title()}"\nkind = "{kind}"\n{rest}\n'


def spans(task: Task) -> list[str]:
    return [one.text[one.start : one.end] for one in task.sentences]


# Files


def test_table_becomes_a_task_without_a_word_about_it(tmp_path: Path) -> None:
    task = made(tmp_path, rows())

    assert (task.name, task.title, task.family, task.cyclic, task.natural_mentions) == ("days", "Days", "days", False, False)
    assert task.labels == DAYS and task.values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert [(one.text, one.label) for one in task.sentences[:2]] == [
        ("We met on Monday again", 0),
        ("We met on Tuesday again", 1),
    ]
    assert spans(task) == [row["label"] for row in rows()]
    assert task.hypotheses == ()


def as_csv(table: Sequence[Row], separator: str = ",") -> bytes:
    return pl.DataFrame(list(table)).write_csv(separator=separator).encode()


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_every_kind_of_file_gives_the_same_task(ending: str, tmp_path: Path) -> None:
    table = rows(size=[3, 1, 2, 5])
    table[0]["text"] = 'On "Monday", they said,\nall was well; 20 °C'
    path = tmp_path / f"days{ending}"
    lines = "\n".join(map(json.dumps, table)).encode()
    made_by = {
        ".csv": lambda: as_csv(table),
        ".csv.gz": lambda: gzip.compress(as_csv(table)),
        ".tsv": lambda: as_csv(table, "\t"),
        ".jsonl": lambda: lines,
        ".jsonl.gz": lambda: gzip.compress(lines),
        ".json": lambda: json.dumps(table, indent=1).encode(),
    }
    if ending == ".parquet":
        pl.DataFrame(table).write_parquet(path)
    else:
        path.write_bytes(made_by[ending]())
    (tmp_path / "days.toml").write_text(stated("size", "linear", 'columns = ["size"]'))

    task = user_task(str(path))

    plain = made(tmp_path, table)
    assert task.sentences == plain.sentences and task.sentences[0].text == table[0]["text"]
    assert (task.labels, task.groups) == (plain.labels, plain.groups)
    assert [one.of_label.tolist() for one in task.hypotheses if one.of_label is not None] == [[[3], [1], [2], [5]]]


def test_toml_names_its_data_and_may_be_named_itself(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", rows(), name="all.jsonl")
    (tmp_path / "week.toml").write_text('data = "deep/all.jsonl"\ntitle = "The week"\ncyclic = true')

    task = user_task(str(tmp_path / "week.toml"))

    assert (task.name, task.title, task.cyclic, task.labels) == ("week", "The week", True, DAYS)


def test_toml_without_data_means_the_table_beside_it(tmp_path: Path) -> None:
    table = written(tmp_path, rows(), 'title = "The week"')
    toml = str(tmp_path / "days.toml")

    assert user_task(toml).title == "The week" and user_task(toml).fingerprint() == user_task(table).fingerprint()

    written(tmp_path, rows(), name="days.json")
    with pytest.raises(
        TaskError, match=r"days\.toml' lacks the key 'data', and beside it lie days\.json and days\.jsonl; name one"
    ):
        user_task(toml)


def test_folder_of_the_data_is_no_part_of_the_task(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "other").mkdir()
    table = [*rows(), {"text": "", "label": "Monday"}]
    here, there = (user_task(written(tmp_path / name, table)) for name in ("private", "other"))
    (tmp_path / "days.toml").write_text('data = "private/days.jsonl"')

    assert here.description == "36 rows of 'days.jsonl'." and "private" not in str((here.remarks, here.assumptions))
    assert here.fingerprint() == there.fingerprint() == user_task(str(tmp_path / "days.toml")).fingerprint()


@pytest.mark.parametrize("ending", [".CSV", ".Csv.GZ", ".JSONL", ".JSON.gz", ".TSV"])
def test_endings_may_be_capital_letters(ending: str, tmp_path: Path) -> None:
    table = rows()
    kind = ending.lower().removesuffix(".gz")
    text = {".jsonl": "\n".join(map(json.dumps, table)), ".json": json.dumps(table)}.get(kind)
    content = as_csv(table, "\t" if kind == ".tsv" else ",") if text is None else text.encode()
    path = tmp_path / f"U{ending}"
    path.write_bytes(gzip.compress(content) if ending.lower().endswith(".gz") else content)
    (tmp_path / "U.TOML").write_text('title = "Capitals"')
    (tmp_path / "U.toml").write_text('title = "Capitals"')

    for source in (path, tmp_path / "U.TOML"):
        task = user_task(str(source))
        assert (task.name, task.title, task.labels) == ("U", "Capitals", DAYS)


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ";"), (".csv", "\t"), (".tsv", ","), (".tsv", ";")])
def test_separator_is_that_of_the_header(ending: str, separator: str, tmp_path: Path) -> None:
    table = [row | {"text": f"{row['text']}, they said"} for row in rows()]
    path = tmp_path / f"days{ending}"
    path.write_bytes(as_csv(table, separator))

    assert [one.text for one in user_task(str(path)).sentences] == [row["text"] for row in table]


def test_header_has_quotes_blanks_and_columns_of_one_name(tmp_path: Path) -> None:
    lines = [f'"On {day}, {n}",{day},{n + place},,9' for n in range(4) for place, day in enumerate(DAYS)]
    path = tmp_path / "days.csv"
    path.write_text("\n".join(['\ufefftext,label,"the ""size""",,label', *lines]), encoding="utf-8")
    (tmp_path / "days.toml").write_text(stated("size", "linear", """columns = ['the "size"']"""))

    task = user_task(str(path))

    assert task.labels == DAYS and [one.description for one in task.hypotheses] == ['the column the "size"']
    assert task.hypotheses[0].of_row is not None and task.hypotheses[0].of_row[:5, 0].tolist() == [0, 1, 2, 3, 1]


def test_toml_beside_the_data_is_read_by_itself(tmp_path: Path) -> None:
    task = made(tmp_path, rows(), 'name = "our-days"\nfamily = "calendar"\nneeds = ["case"]\nnatural_mentions = true')

    assert (task.name, task.family, task.needs, task.natural_mentions) == ("our-days", "calendar", ("case",), True)


def test_templates_of_the_users_own_are_a_task(tmp_path: Path) -> None:
    head = 'name = "t"\ntitle = "T"\nfamily = "t"\ndescription = "d"\ncyclic = false\nlabels = ["a", "b"]\nhypotheses = []\n'
    templates = "".join(f'[[templates]]\ngroup = "{n}"\ntext = "It is {{label}} {n}"\n' for n in range(3))
    (tmp_path / "t.toml").write_text(head + templates)

    assert len(user_task(str(tmp_path / "t.toml")).sentences) == 6


def test_data_set_of_the_hub_is_a_task_with_the_names_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    table = {
        "text": [row["text"] for row in rows(DAYS[:2])],
        "label": [DAYS.index(row["label"]) for row in rows(DAYS[:2])],
    }
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(DAYS[:2]))})
    asked: list[Any] = []

    def load(name: str, config: str | None, split: str, revision: str | None) -> Any:
        asked.append((name, config, split, revision))
        return datasets.Dataset.from_dict(table, features=features).to_iterable_dataset()

    monkeypatch.setattr("atlas.activations.hub.streamed", load)
    task = user_task("us/days/short:test")

    assert asked == [("us/days", "short", "test", None)]
    assert (task.name, task.labels, len(task.sentences)) == ("days", DAYS[:2], 18)


def test_data_set_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network\nsecond line")

    monkeypatch.setattr("atlas.activations.hub.streamed", load)
    with pytest.raises(TaskError, match=r"^The data set 'us/days' cannot be loaded: ConnectionError: no network\.$"):
        user_task("us/days")


# Columns and labels


def test_columns_are_named_or_found(tmp_path: Path) -> None:
    table = [{"said": row["text"], "day": row["label"], "label": "x"} for row in rows()]

    assert made(tmp_path, table, 'text = "said"\nlabel = "day"').labels == DAYS


@pytest.mark.parametrize(
    ("labels", "shown", "values"),
    [
        (("10", "9", "-1.5"), ("-1.5", "9", "10"), [-1.5, 9, 10]),
        (("02_c", "00_b", "01_a"), ("b", "a", "c"), [0, 1, 2]),
        (("c", "a", "b"), ("c", "a", "b"), [0, 1, 2]),
        ((2, 0.5, 1), ("0.5", "1", "2"), [0.5, 1, 2]),
        ((True, False), ("true", "false"), [0, 1]),
        (tuple(f"w{30 - n}" for n in range(25)), tuple(sorted(f"w{30 - n}" for n in range(25))), list(range(25))),
        (("00_a", "01_a"), ("00_a", "01_a"), [0, 1]),
    ],
    ids=["numbers", "prefixes", "words", "numbers of a file", "truth values", "many words", "prefixes of one word"],
)
def test_labels_have_an_order(labels: Sequence[Any], shown: tuple[str, ...], values: list[float], tmp_path: Path) -> None:
    table = [{"text": f"{context} {n} times", "label": label} for context in CONTEXTS for n, label in enumerate(labels)]

    task = made(tmp_path, table)

    assert task.labels == shown and task.values.tolist() == values
    # A row keeps its label, whatever the order.
    number = {one.text: task.labels[one.label] for one in task.sentences}
    of_row = [number[f"{CONTEXTS[0]} {n} times"] for n in range(len(labels))]
    assert [str(label).lower().endswith(name) for label, name in zip(labels, of_row, strict=True)] == [True] * len(labels)
    assert len(set(of_row)) == len(labels)


def test_stated_labels_give_order_values_and_colours_to_those_that_are_there(tmp_path: Path) -> None:
    toml = 'labels = ["Thursday", "Sunday", "Tuesday", "Monday"]\nvalues = [4, 7, 2, 1]\n'
    toml += 'colours = ["#000004", "#000007", "#000002", "#000001"]\n' + stated("day", "linear", "")

    task = made(tmp_path, rows(), toml)

    assert task.labels == ("Thursday", "Tuesday", "Monday")
    assert task.values.tolist() == [4.0, 2.0, 1.0] and task.colours == ("#000004", "#000002", "#000001")
    (hypothesis,) = task.hypotheses
    assert hypothesis.of_label is not None and hypothesis.of_label.tolist() == [[4.0], [2.0], [1.0]]
    assert "9 of 36 rows left out: their label is not among the task's: Wednesday." in task.remarks
    assert "1 of 4 labels has no row: Sunday." in task.remarks


def test_numbers_are_a_hypothesis_by_themselves_unless_others_are_given(tmp_path: Path) -> None:
    table = rows(("1", "2", "4"))

    (linear,) = made(tmp_path, table).hypotheses

    assert (linear.name, linear.title, linear.shape, linear.probe) == ("linear", "Value", "ordinal", "linear")
    assert linear.of_label is not None and linear.of_label.tolist() == [[1.0], [2.0], [4.0]]
    assert made(tmp_path, table, "hypotheses = []").hypotheses == ()


def test_exponents_of_three_digits_are_numbers_unless_they_are_too_large(tmp_path: Path) -> None:
    assert made(tmp_path, rows(("1e100", "5e-120", "2"))).labels == ("5e-120", "2", "1e100")
    for large in ("1e400", "1e200"):
        words = made(tmp_path, rows((large, "5", "2")))
        assert words.labels == (large, "5", "2") and words.hypotheses == ()


def test_labels_of_one_value_are_named(tmp_path: Path) -> None:
    task = made(tmp_path, rows(("1.0", "2", "1", "01")))

    assert len(task.labels) == 4
    assert "The labels 01, 1 and 1.0 are one value, 1, and kept apart; spell them alike to join them." in task.assumptions
    given = made(tmp_path, rows(("1.0", "1")), "values = [5, 5]")
    assert not [one for one in given.assumptions if "one value" in one]


def test_label_with_a_line_break_is_said_in_one_line(tmp_path: Path) -> None:
    task = made(tmp_path, [*rows(), *rows(("Fri\nday\x1b[2J",), CONTEXTS[:1])])

    assert "1 of 5 labels has one row, which is left out: Fri↵day [2J." in task.remarks


# What is probed


@pytest.mark.parametrize(
    ("text", "label", "span"),
    [
        ("May I, said May, may I?", "May", (12, 15)),
        ("may I", "May", (0, 3)),
        ("Mayor Maying", "May", None),
        ("at 98°F, not 98.6°F", "98°F", (3, 7)),
        ("from 6.5 to 16 and 6,000", "6", None),
        ("version 6.", "6", (8, 9)),
        ("a.b axb", "a.b", (0, 3)),
        ("C++ and C", "C++", (0, 3)),
    ],
)
def test_last_mention_is_a_whole_word(text: str, label: str, span: tuple[int, int] | None) -> None:
    assert last_mention(text, label) == span


@given(before=st.text(max_size=8), label=st.text(alphabet="ab.+ é", min_size=1, max_size=4), after=st.text(max_size=8))
def test_a_label_set_apart_by_spaces_is_always_found(before: str, label: str, after: str) -> None:
    text = f"{before} {label} {after}"
    span = last_mention(text, label)

    assert span is not None and text[slice(*span)].lower() == label.lower() and span[0] >= len(before) + 1 - len(label)


def test_text_that_lacks_its_label_makes_the_end_the_place(tmp_path: Path) -> None:
    table = [{"text": f"{context.format('it')} {n}  ", "label": label} for context in CONTEXTS for n, label in enumerate(DAYS)]

    task = made(tmp_path, table)

    assert spans(task)[:4] == ["0", "1", "2", "3"]
    assert "Probed at the end of each text: 36 of 36 do not have their label as a word." in task.assumptions
    assert "Whatever fires on ends of sentences fires on all of its labels, so an expert's title says little." in task.assumptions
    assert task.remarks == ()
    assert spans(made(tmp_path, rows(), 'position = "end"'))[:4] == ["again"] * 4


def test_text_that_lacks_its_label_is_left_out_where_the_label_is_asked_for(tmp_path: Path) -> None:
    table = [*rows(), {"text": "Never", "label": "Monday"}]

    task = made(tmp_path, table, 'position = "label"')

    assert len(task.sentences) == 36
    assert "1 of 37 rows left out: their text does not have the label as a word." in task.remarks


def test_offsets_are_taken_as_they_are_and_wrong_ones_left_out(tmp_path: Path) -> None:
    table = [row | {"from": 0, "to": 3 + n % 2} for n, row in enumerate(rows())]
    for n, wrong in enumerate([{"from": 3, "to": 3}, {"to": 99}, {"from": -1}, {"to": 2.5}, {"to": None}, {"from": "x"}]):
        table[n] |= wrong

    task = made(tmp_path, table, 'start = "from"\nend = "to"')

    assert [(one.start, one.end) for one in task.sentences] == [(0, 3 + n % 2) for n in range(6, 36)]
    assert "6 of 36 rows left out: their offsets are not whole numbers within the text." in task.remarks


# Templates and groups


def test_template_is_the_text_without_its_label(tmp_path: Path) -> None:
    task = made(tmp_path, rows())

    assert [one.template for one in task.sentences] == [n // 4 for n in range(36)]
    assert sorted(task.groups) == [f"group {n}" for n in range(1, 10)]
    assert "No column of groups: 9 templates are dealt to 9 groups by a hash." in task.assumptions


def test_groups_of_the_data_are_kept_whole(tmp_path: Path) -> None:
    table = [row | {"author": "abc"[n % 3]} for n, row in enumerate(rows())]

    task = made(tmp_path, table, 'group = "author"')

    assert [task.groups[one.template] for one in task.sentences] == ["abc"[n % 3] for n in range(36)]
    assert len(task.groups) == 27, "a template is in one group"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.lists(
        st.tuples(st.sampled_from(CONTEXTS + ("Ever {}", "As {} goes", "{}")), st.sampled_from(DAYS)), min_size=1, max_size=40
    )
)
def test_whatever_rows_there_are_folds_share_no_template_and_all_is_accounted_for(
    chosen: list[tuple[str, str]], tmp_path: Path
) -> None:
    table = [{"text": context.format(label), "label": label} for context, label in chosen]
    singles = sum(count == 1 for label in DAYS if (count := [one for _, one in chosen].count(label)))
    try:
        task = made(tmp_path, table)
    except TaskError as error:
        often = [label for label in DAYS if [one for _, one in chosen].count(label) > 1]
        left = {context for context, label in chosen if label in often}
        assert len(often) < 2 or len(left) < 3, error
        return

    assert len(task.sentences) == len(table) - singles
    assert np.bincount([one.label for one in task.sentences], minlength=len(task.labels)).min() > 1
    around = {(one.text[: one.start], one.text[one.end :]): one.template for one in task.sentences}
    assert len(around) == len(set(around.values())) == len(task.groups)
    assert len(set(task.groups)) == min(9, len(task.groups)) and task.report().any() and not task.report().all()


# Hypotheses


def only(folder: Path, table: Sequence[Row], toml: str) -> Hypothesis:
    (found,) = made(folder, table, toml).hypotheses
    return found


def test_column_that_is_constant_within_labels_is_a_target_of_the_label(tmp_path: Path) -> None:
    found = only(tmp_path, rows(size=[3, 1, 2, 5]), stated("size", "log", 'columns = ["size"]'))

    assert found.of_label is not None and found.of_row is None
    np.testing.assert_allclose(found.of_label[:, 0], np.log([4, 2, 3, 6]))
    assert found.description == "ln(1 + size)"


def test_column_that_varies_within_labels_is_a_target_of_the_row(tmp_path: Path) -> None:
    table = [row | {"size": n, "hour": n % 24} for n, row in enumerate(rows())]
    table.insert(3, {"text": " ", "label": "Monday", "size": 77, "hour": 7})
    toml = stated("size", "linear", 'columns = ["size"]\nprobe = "ridge"') + stated(
        "ring", "ring", 'columns = ["hour"]\nperiod = 24'
    )

    size, ring = made(tmp_path, table, toml).hypotheses

    assert size.of_label is None and size.of_row is not None and size.of_row[:, 0].tolist() == list(range(36))
    assert size.probe == "ridge"
    assert ring.of_row is not None
    np.testing.assert_allclose(ring.of_row[:7, 0], np.sin(2 * np.pi * np.arange(7) / 24), atol=1e-12)


def test_two_columns_are_a_ring_and_several_a_map(tmp_path: Path) -> None:
    table = rows(s=[0, 1, 0, -1], c=[1, 0, -1, 0], v=[1, 2, 3, 5])
    toml = stated("ring", "ring", 'columns = ["s", "c"]') + stated("place", "map", 'columns = ["s", "c", "v"]')

    ring, place = made(tmp_path, table, toml).hypotheses

    assert ring.of_label is not None and ring.of_label.tolist() == [[0, 1], [1, 0], [0, -1], [-1, 0]]
    assert (ring.shape, place.shape) == ("ring", "map")
    assert place.of_label is not None and place.of_label.shape == (4, 3)


def test_column_of_words_is_classes_of_the_label_or_of_the_row(tmp_path: Path) -> None:
    table = rows(half=["late", "late", "early", "early"])
    table = [row | {"mood": ["good", "bad", "fair"][n % 3]} for n, row in enumerate(table)]
    toml = stated("half", "classes", 'columns = ["half"]') + stated("mood", "classes", 'columns = ["mood"]')

    half, mood = made(tmp_path, table, toml).hypotheses

    assert (half.class_names, half.probe) == (("early", "late"), "logistic")
    assert half.of_label is not None and half.of_label.tolist() == [[1], [1], [0], [0]]
    assert (mood.class_names, mood.probe) == (("bad", "fair", "good"), "multinomial")
    assert mood.of_row is not None and mood.of_row[:3].tolist() == [[2], [0], [1]]


def test_class_without_rows_goes(tmp_path: Path) -> None:
    toml = 'labels = ["Monday", "Tuesday", "Sunday"]\n'
    classes = 'classes = { rest = ["Sunday"], begin = ["Monday"], go = ["Tuesday"] }'

    found = only(tmp_path, rows(), toml + stated("kind", "classes", classes))

    assert (found.class_names, found.probe) == (("begin", "go"), "logistic")
    asked = 'probe = "multinomial"\nclasses = { begin = ["Monday"], go = ["Tuesday", "Sunday"] }'
    assert only(tmp_path, rows(), toml + stated("kind", "classes", asked)).probe == "multinomial"
    assert found.of_label is not None and found.of_label.tolist() == [[0], [1]]
    assert found.description == "classes begin and go"
    worded = only(tmp_path, rows(), toml + stated("kind", "classes", f'{classes}\ndescription = "how the week goes"'))
    assert worded.description == "how the week goes"


def grouped(of_group: Sequence[Sequence[Any]], column: str = "odd") -> list[Row]:
    """A context for each of three groups, the second of which is the report set, with a column of its own."""
    return [
        {"text": CONTEXTS[group].format(label), "label": label, "group": f"g{group}", column: values[n]}
        for group, values in enumerate(of_group)
        for n, label in enumerate(DAYS)
    ]


@pytest.mark.parametrize(
    ("of_group", "kind", "reason"),
    [
        (["abcd", "abcc", "abcd"], "classes", "no row of the report set is of the class d"),
        (["abcb", "aaaa", "abcb"], "classes", "no row of the report set is of the classes b or c"),
        (["aabb", "abca", "abba"], "classes", "no row that experts are ranked on is of the class c"),
        ([[1, 2, 3, 4], [7, 7, 7, 7], [1, 2, 3, 4]], "linear", "its target is the same in every row of the report set"),
        ([[7, 7, 7, 7], [1, 2, 3, 4], [7, 7, 7, 7]], "linear", "its target is the same in every row that experts are ranked on"),
    ],
    ids=["class", "classes", "class of the report set", "number", "number of the report set"],
)
def test_target_that_one_side_does_not_have_is_left_out(of_group: list[Any], kind: str, reason: str, tmp_path: Path) -> None:
    task = made(tmp_path, grouped(of_group), 'group = "group"\n' + stated("odd", kind, 'columns = ["odd"]'))

    assert task.hypotheses == () and task.remarks == (f"Odd is left out: {reason}.",)


def test_target_of_the_label_that_the_report_set_does_not_have_is_left_out(tmp_path: Path) -> None:
    table = [row for row in grouped(["aaaa"] * 3) if row["group"] != "g1" or row["label"] == "Monday"]
    classes = 'classes = { rest = ["Tuesday", "Wednesday"], begin = ["Monday", "Thursday"] }'

    task = made(tmp_path, table, f'group = "group"\n{stated("day", "linear", "")}{stated("kind", "classes", classes)}')

    assert task.hypotheses == () and task.remarks == (
        "Day is left out: its target is the same in every row of the report set.",
        "Kind is left out: no row of the report set is of the class rest.",
    )


def test_more_classes_than_can_be_told_apart_are_left_out(tmp_path: Path) -> None:
    table = [{"text": f"{n} {label}", "label": label, "place": f"p{n}"} for n in range(MAX_CLASSES + 1) for label in DAYS]

    def of(n: int) -> Task:
        return made(tmp_path, [row | {"group": f"g{g}"} for row in table[: 4 * n] for g in range(3)], toml)

    toml = 'group = "group"\n' + stated("place", "classes", 'columns = ["place"]')
    assert len(of(MAX_CLASSES).hypotheses[0].class_names) == MAX_CLASSES
    many = of(MAX_CLASSES + 1)
    assert many.hypotheses == ()
    assert many.remarks == (f"Place is left out: it has {MAX_CLASSES + 1} classes, and {MAX_CLASSES} can be told apart.",)


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        ([1, 1, 1, 1], "linear", "its target is the same in every label"),
        ([1, None, 2, 3], "linear", "its target is no finite number in 1 of 4 labels"),
        (["a", "b", "c", "d"], "linear", "its target is no finite number in 4 of 4 labels"),
        ([-2, 1, 2, 3], "log", "its target is no finite number in 1 of 4 labels"),
        (["a", "a", "a", "a"], "classes", "its target is the same in every label"),
        (["a", None, "b", "b"], "classes", "its target is no finite number in 1 of 4 labels"),
    ],
    ids=["constant", "missing", "words", "no logarithm", "one class", "no class"],
)
def test_target_that_nothing_can_be_fitted_to_is_left_out_with_its_reason(
    column: list[Any], kind: str, reason: str, tmp_path: Path
) -> None:
    toml = stated("odd", kind, 'columns = ["odd"]') + stated("day", "linear", "")

    task = made(tmp_path, rows(odd=column), toml)

    assert [one.name for one in task.hypotheses] == ["day"]
    assert f"Odd is left out: {reason}." in task.remarks


# Definitions


def test_emotions_take_everything_but_their_sentences_from_atlas(tmp_path: Path) -> None:
    words = ("joy", "anger", "surprise", "nothing else")
    table = [{"text": f"{context} {n}!", "label": word} for context in CONTEXTS for n, word in enumerate(words)]

    task = made(tmp_path, table, 'definition = "emotions"')

    assert (task.name, task.title, task.family) == ("days", "Emotions", "emotion")
    assert task.labels == ("anger", "joy", "surprise") and task.colours == ("#cc0000", "#1a6fcc", "#e6c800")
    (sentiment,) = task.hypotheses
    assert sentiment.class_names == ("positive", "negative", "ambiguous")
    assert "9 of 36 rows left out: their label is not among the task's: nothing else." in task.remarks
    assert "Valence and arousal is left out: it reads valence and arousal, which the data does not have." in task.remarks


def test_ratings_of_emotions_are_the_users(tmp_path: Path) -> None:
    table = rows(("joy", "anger", "fear"), valence=[0.9, -0.6, -0.7], arousal=[0.5, 0.6, 0.4])

    ratings = made(tmp_path, table, 'definition = "emotions"').hypotheses[1]

    assert (ratings.shape, ratings.probe) == ("map", "ridge")
    assert ratings.of_label is not None and ratings.of_label.tolist() == [[-0.6, 0.6], [-0.7, 0.4], [0.9, 0.5]]


def test_a_builtin_task_defines_labels_for_other_sentences(tmp_path: Path) -> None:
    task = made(tmp_path, rows(), 'definition = "weekdays"')

    assert task.labels == DAYS and task.family == "calendar"
    assert [one.name for one in task.hypotheses] == ["cyc_7d", "ordinal"], "all days of the data are weekdays"


# Matrices


def matrix_task(folder: Path, matrix: Any, toml: str = "", table: Sequence[Row] | None = None) -> Task:
    cells = [{"class": "TB"[n % 2], "donor": f"d{n % 4}", "age": n} for n in range(24)] if table is None else table
    written(folder, cells, name="cells.jsonl")
    if isinstance(matrix, dict):
        save_file(matrix, folder / "cells.safetensors")
        toml = f'matrix = "cells.safetensors"\n{toml}'
    else:
        np.save(folder / "cells.npy", matrix)
        toml = f'matrix = "cells.npy"\n{toml}'
    (folder / "cells.toml").write_text(f'metadata = "cells.jsonl"\n{toml}')
    return user_task(str(folder / "cells.toml"))


def test_matrix_is_a_task_without_text(tmp_path: Path) -> None:
    rows_given = np.arange(72, dtype=np.float64).reshape(24, 3)

    task = matrix_task(tmp_path, rows_given, 'group = "donor"\n' + stated("age", "linear", 'columns = ["age"]'))

    assert task.matrix is not None and task.matrix.dtype == np.float32 and task.matrix.tolist() == rows_given.tolist()
    assert task.labels == ("T", "B") and {one.text for one in task.sentences} == {""}
    assert [task.groups[one.template] for one in task.sentences] == [f"d{n % 4}" for n in range(24)]
    assert len({one.template for one in task.sentences}) == 24
    (age,) = task.hypotheses
    assert age.of_row is not None and age.of_row[:, 0].tolist() == list(range(24))
    assert user_task(str(tmp_path / "cells.jsonl")).fingerprint() == task.fingerprint(), "metadata leads to its TOML file"


def test_rows_that_are_left_out_of_the_metadata_leave_the_matrix_too(tmp_path: Path) -> None:
    table: list[Row] = [{"label": label} for label in ["a", "b", "", "a", "c", "b", "a"]]

    task = matrix_task(tmp_path, np.arange(14, dtype=np.int32).reshape(7, 2), table=table)

    assert task.matrix is not None and task.matrix[:, 0].tolist() == [0, 2, 6, 10, 12]
    assert [task.labels[one.label] for one in task.sentences] == ["a", "b", "a", "b", "a"]
    assert "No column of groups: 5 rows are dealt to 5 groups by a hash." in task.assumptions


def test_tensor_is_found_or_named(tmp_path: Path) -> None:
    x = torch.arange(48, dtype=torch.bfloat16).reshape(24, 2)

    assert matrix_task(tmp_path, {"x": x}).matrix is not None
    named = matrix_task(tmp_path, {"x": x, "y": x + 1}, 'tensor = "y"\n').matrix
    assert named is not None and named[0].tolist() == [1.0, 2.0]
    with pytest.raises(TaskError, match=r"cells\.safetensors' holds x and y; name one by the key tensor"):
        matrix_task(tmp_path, {"x": x, "y": x + 1})
    with pytest.raises(TaskError, match=r"cells\.safetensors' has no tensor 'z'; it has x and y"):
        matrix_task(tmp_path, {"x": x, "y": x + 1}, 'tensor = "z"\n')


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((23, 2)), r"has 23 rows in the matrix and 24 in '.*cells\.jsonl'; give one for each"),
        (np.zeros(24), r"holds float64 of shape \[24\]; a matrix is numbers, \(row, d_in\)"),
        (np.full((24, 2), "x"), r"holds <U1 of shape \[24, 2\]; a matrix is numbers"),
        (np.where(np.arange(48).reshape(24, 2) == 9, np.nan, 0), "holds a number in row 5 that is not finite as float32"),
        (np.full((24, 2), 1e200), "holds a number in row 1 that is not finite as float32"),
    ],
    ids=["rows", "shape", "words", "nan", "too large"],
)
def test_matrix_that_is_none_is_refused(matrix: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message):
        matrix_task(tmp_path, matrix)


def test_matrix_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    written(tmp_path, rows(), name="cells.jsonl")
    for name in ("x.npy", "x.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        (tmp_path / "t.toml").write_text(f'metadata = "cells.jsonl"\nmatrix = "{name}"')
        with pytest.raises(TaskError, match=rf"x\{Path(name).suffix}' cannot be read as \{Path(name).suffix}: "):
            user_task(str(tmp_path / "t.toml"))


# What is left out


def test_empty_texts_labels_and_groups_are_left_out_and_counted(tmp_path: Path) -> None:
    table = [row | {"who": "abc"[n % 3]} for n, row in enumerate(rows())]
    table[0]["text"], table[1]["label"], table[2]["who"], table[3]["text"] = " \n", None, "", None

    task = made(tmp_path, table, 'group = "who"')

    assert len(task.sentences) == 32
    assert task.remarks[:3] == (
        "2 of 36 rows left out: their text is empty.",
        "1 of 36 rows left out: the column 'label' is empty.",
        "1 of 36 rows left out: they have no group.",
    )


def test_label_with_one_row_is_left_out(tmp_path: Path) -> None:
    task = made(tmp_path, [*rows(), {"text": "Only Sunday", "label": "Sunday"}])

    assert task.labels == DAYS and len(task.sentences) == 36
    assert "1 of 5 labels has one row, which is left out: Sunday." in task.remarks


def test_label_that_half_the_groups_lack_is_kept_and_named(tmp_path: Path) -> None:
    task = made(tmp_path, [*rows(), *rows(("Friday",), CONTEXTS[:4]), *rows(("Sunday",), CONTEXTS[:5])])

    assert task.labels == (*DAYS, "Friday", "Sunday")
    assert "Missing from half of the 9 groups or more, and kept: Friday." in task.assumptions


# Refusals


@pytest.mark.parametrize(
    ("table", "toml", "message"),
    [
        (
            rows(DAYS[:1]),
            None,
            r"^The task in '.*days\.jsonl' has 1 label, 'Monday', with two rows or more; a task takes at least 2",
        ),
        ([{"text": "a", "label": str(n)} for n in range(4)], None, "has 0 labels with two rows or more"),
        (
            [{"text": f"{n}", "label": n} for n in range(5000)],
            None,
            "has 5,000 labels; a task has at most 500. Bin them, or take",
        ),
        ([], None, r"^'.*days\.jsonl' is empty; it takes a row for each text, with columns such as text and label"),
        ([{"text": "", "label": "a"}] * 3, None, "has no row that can be used: 3 of 3 rows left out: their text is empty"),
        (
            rows(contexts=CONTEXTS[:2]),
            None,
            "has 2 templates, its texts without their labels; .* at least 3\\. Vary the sentences, or give ",
        ),
        ([{"said": "x", "label": "a"}], None, "has no column text, sentence, Sentence or prompt; it has said and label"),
        (rows(), 'text = "said"', "has no column 'said'; it has text and label"),
        (rows(), 'group = "who"', "has no column 'who'; it has text and label"),
        (rows(), 'group = "label"\nlabels = ["Monday", "Tuesday"]', "has 2 groups in the column 'label'; .* at least 3"),
        (rows(), 'start = "text"', "lacks the key 'end'; it takes text"),
        (rows(), 'postion = "end"', "has the key 'postion', which says nothing here; it takes "),
        (rows(), 'position = "start"', "has position = 'start'; it takes label or end"),
        (rows(), 'title = "a\\nb"', r"has title = 'a\\nb'; it takes one line of text, without control characters"),
        (rows(), 'family = "\\u001b[2J"', r"has family = '\\x1b\[2J'; it takes one line of text"),
        (rows(), 'description = "a\\u2028b"', "has description = .*; it takes one line of text"),
        (rows(), '[[hypotheses]]\nname = "a\\u202eb"', "has name = .*; it takes one line of text"),
        (rows(), stated("a", "linear", 'description = "a\\u0000"'), "has description = .*; it takes one line of text"),
        (
            rows(DAYS[:2]),
            stated("a", "classes", 'classes = { "x\\ny" = ["Monday"], z = ["Tuesday"] }'),
            r"has the class 'x\\ny'; a class is named by one line of text",
        ),
        (
            rows(),
            'labels = ["x", "y"]',
            "has no row that can be used: 36 of 36 rows left out: their label is not among the task's: Monday",
        ),
        (rows(), 'labels = ["Monday", "Monday"]', "has the label 'Monday' twice"),
        (rows(), "values = [1, 2]", "has 2 values for 4 labels"),
        (rows(), 'definition = "moods"', "has the definition 'moods'; Atlas has months, "),
        (rows(), 'definition = "weekdays"\nlabels = ["Monday"]', "has labels and a definition, which has its own"),
        (rows(), 'data = "other.jsonl"', r"^'.*days\.toml' describes 'other\.jsonl', not '.*days\.jsonl'; rename one of them"),
        (
            rows(),
            stated("a", "spiral", ""),
            "^The hypothesis 'a' of the task in '.*' is of the kind 'spiral'; Atlas knows ring, ",
        ),
        (rows(), stated("a", "linear", 'columns = ["b"]'), "has no column 'b'; it has text and label"),
        (rows(), stated("a", "map", 'columns = ["text"]'), "is a map of one column; give two or more, or the kind linear"),
        (
            rows(),
            stated("a", "log", 'columns = ["text", "label"]'),
            "has 2 columns; the kind log takes one, the kind map several",
        ),
        ([row | {"text": 3} for row in rows()], None, r"^Row 1 of '.*' holds 3 in the column 'text', not text"),
        (
            [row | {"label": [1]} for row in rows()],
            None,
            r"^Row 1 of '.*' holds \[1\] in the column 'label'; it takes one word or number",
        ),
        ([3], None, r"^Record 1 of '.*' is 3, not an object with columns"),
    ],
    ids=lambda value: None if isinstance(value, str | list) else "",
)
def test_task_that_cannot_be_made_is_refused_in_one_line(
    table: list[Any], toml: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match=message) as refused:
        made(tmp_path, table, toml)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"a\.csv' is empty; it takes a row for each text"),
        ("a.csv", b" \n\n", r"a\.csv' is empty"),
        ("a.json", b" \n", r"a\.json' is empty"),
        ("a.csv", b"text,label\n", r"has no rows; add some to '.*a\.csv', at least two of each label"),
        (
            "a.csv",
            b'text,label\n"1\n",2\n1,2,3\n',
            r"^Line 4 of '.*a\.csv' has 3 columns, and the header 2\. Put a text that holds ',' in double quotes\.$",
        ),
        ("a.csv", b"text,label\na,b\n\xe9t\xe9,x\n", r"^Line 3 of '.*a\.csv' is not text in UTF-8: .* Save it as UTF-8\.$"),
        ("a.csv", "text,label\n".encode("utf-16-le"), r"^Line 1 of '.*a\.csv' is not text.* Save it as UTF-8\.$"),
        ("a.jsonl", b'{"text": "\xe9"}', r"^Line 1 of '.*a\.jsonl' is not text in UTF-8: .* Save it as UTF-8\.$"),
        ("a.toml", b"title = '\xe9'", r"a\.toml' is not text in UTF-8: .* Save it as UTF-8\.$"),
        ("a.parquet", b"nothing", r"a\.parquet' cannot be read as \.parquet: "),
        ("a.parquet.gz", b"nothing", r"a\.parquet\.gz' is a packed \.parquet; unpack it"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"^Line 2 of '.*a\.jsonl' is not JSON: "),
        ("a.jsonl", b'{"text": "x", "\\ud800": 1}', r"has the column '\\ud800', whose name holds half of a character"),
        ("a.json", b'{"text": "x"}', r"a\.json' is no list of records"),
        ("a.jsonl.gz", b"nothing", r"a\.jsonl\.gz' is not gzipped"),
        ("a.toml", b"data = ", r"a\.toml' is not TOML: "),
        ("a.toml", b"title = 'A'", "lacks the key 'data'"),
        ("a.toml", b"data = 'b.csv'", r"names the data 'b\.csv', which is no table; give a \.csv, "),
        ("a.toml", b"matrix = 'b.npy'", "lacks the key 'metadata'"),
        ("a.csv", b"label,donor\nT,x\n", "has no column text, .* are given by the keys matrix and metadata"),
        ("a.toml", b"matrix = 'b.npy'\nmetadata = 'c.csv'", r"^No table at '.*c\.csv'"),
        ("a.txt", b"text", r"^No table at '.*a\.txt'\. Give a \.csv, \.tsv, \.parquet, \.jsonl or \.json file, a \.toml"),
    ],
)
def test_file_that_cannot_be_read_is_refused_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(TaskError, match=message) as refused:
        user_task(str(tmp_path / name))
    assert "\n" not in str(refused.value)


# Several tasks


def test_tasks_are_the_named_ones_then_the_users(tmp_path: Path) -> None:
    tasks, refused = chosen_tasks(["weekdays", "months"], [written(tmp_path, rows())])

    assert [task.name for task in tasks] == ["weekdays", "months", "days"] and refused == []


def test_task_that_is_refused_leaves_the_others(tmp_path: Path) -> None:
    bad, good = str(tmp_path / "none.csv"), written(tmp_path, rows())
    (tmp_path / "weekdays.toml").write_text('data = "days.jsonl"')
    clash = str(tmp_path / "weekdays.toml")

    tasks, refused = chosen_tasks(["weekdays"], [bad, clash, good])

    assert [task.name for task in tasks] == ["weekdays", "days"]
    assert [one.name for one in refused] == ["none.csv", "weekdays.toml"]
    assert refused[0].reason.startswith("No table at 'none.csv'")
    assert refused[1].reason.startswith("A task named 'weekdays' comes earlier.")


def test_reason_that_is_stored_names_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my secret's"
    folder.mkdir()
    (folder / "bad.csv").write_text("text\na\n")
    (folder / "gone.toml").write_text(f'data = "{tmp_path}/elsewhere/x.txt"')
    (folder / "away.toml").write_text('matrix = "x.npy"\nmetadata = "../deep/y.csv"')
    (folder / "clash.toml").write_text('name = "months"\ndata = "days.jsonl"')
    written(folder, rows())
    (folder / "broken.parquet").write_bytes(b"PAR1")

    names = ["bad.csv", "gone.toml", "away.toml", "none.csv", "clash.toml", "broken.parquet"]
    _, refused = chosen_tasks(["months"], [str(folder / name) for name in names])

    assert [one.name for one in refused] == names
    assert [one.reason for one in refused if "/" in one.reason or "secret" in one.reason] == []
    assert [one.reason.startswith("'bad.csv' has no column label") for one in refused[:1]] == [True]


def test_numbers_where_a_definition_has_names_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match="The labels are Monday, .* and Sunday: write names in place of numbers in the column 'label'"
    ):
        made(tmp_path, rows(("1", "2")), 'definition = "weekdays"')


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match=r"^No task 'moons' comes with Atlas; it has months, weekdays, .*newline_150\. A file of"):
        chosen_tasks(["months", "moons"], [])
    with pytest.raises(TaskError, match=r"^The text of 'emotions' does not come with Atlas; give yours with --task, .*tasks\.md"):
        chosen_tasks(["emotions"], [])
    with pytest.raises(TaskError, match="^The task 'months' is named twice"):
        chosen_tasks(["months", "months"], [])


# The documentation


def test_example_of_the_documentation_is_a_task(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (csv,) = re.findall(r"```csv\n(.*?)```", document, flags=re.DOTALL)
    toml = re.findall(r"```toml\n(.*?)```", document, flags=re.DOTALL)[0]
    head, *lines = csv.splitlines()
    forums = ("mail", "news", "blog")
    more = [line.replace(",chat,", f",{forum},").replace(",letters,", f",{forum},") for forum in forums for line in lines]
    (tmp_path / "moods.csv").write_text("\n".join([head, *lines, *more]))
    (tmp_path / "moods.toml").write_text(toml)

    task = user_task(str(tmp_path / "moods.csv"))

    assert (task.title, task.labels, len(task.colours)) == ("Tone of voice", ("angry", "sad", "happy"), 3)
    assert [one.name for one in task.hypotheses] == ["pleasant", "loudness"]
    assert set(task.groups) == {"letters", "chat", *forums}
