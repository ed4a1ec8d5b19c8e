"""The TOML file that is written from a table loads by itself, and states what the table gives."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas.errors import TaskError
from atlas.probe.tasks import Task, draft, user_task

DAYS = ("00_Monday", "01_Tuesday", "02_Wednesday")


def week(**columns: list[Any]) -> list[dict[str, Any]]:
    return [
        {"Sentence": f"Line {line}: on {label[3:]}", "Label": label} | {name: of[n] for name, of in columns.items()}
        for line in range(6)
        for n, label in enumerate(DAYS)
    ]


def drafted(folder: Path, rows: list[dict[str, Any]], name: str = "week.jsonl") -> tuple[dict[str, Any], Task, str]:
    """Return what was written, read as TOML and as a task, and as text."""
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    text = draft(str(path), folder)
    (folder / "drafted.toml").write_text(text, encoding="utf-8")
    return tomllib.loads(text), user_task(str(folder / "drafted.toml")), text


def taken_up(text: str) -> str:
    """The TOML with its proposals of hypotheses, values, colours and needs taken up."""
    keys = ("[[", "name =", "title =", "kind =", "columns =", "values =", "colours =", "needs =")
    return "\n".join(line[2:] if line.startswith(tuple(f"# {key}" for key in keys)) else line for line in text.splitlines())


def test_draft_states_columns_and_labels_in_order_with_their_rows(tmp_path: Path) -> None:
    raw, task, text = drafted(tmp_path, week()[1:])

    assert (raw["data"], raw["text"], raw["label"], raw["position"]) == ("week.jsonl", "Sentence", "Label", "label")
    assert raw["labels"] == ["Monday", "Tuesday", "Wednesday"] == list(task.labels)
    assert '    "Monday",  # 5\n    "Tuesday",  # 6\n' in text
    assert task.name == "week" and len(task.sentences) == 17


def test_targets_become_hypotheses_and_other_columns_proposals(tmp_path: Path) -> None:
    angle = 2 * np.pi * np.arange(3) / 7
    rows = week(
        target_sin_7d=np.sin(angle).tolist(),
        target_cos_7d=np.cos(angle).tolist(),
        target_day=[0, 1, 2],
        target_is_first=[1, 0, 0],
        target_same=[4, 4, 4],
        length=[6, 7, 9],
        mood=["good", "bad", "fair"],
    )

    raw, task, text = drafted(tmp_path, rows)

    assert [(one["name"], one["kind"]) for one in raw["hypotheses"]] == [
        ("7d_ring", "ring"),
        ("day", "linear"),
        ("is_first", "classes"),
    ]
    assert [one.name for one in task.hypotheses] == ["7d_ring", "day", "is_first"]
    ring = task.hypotheses[0].of_label
    assert ring is not None
    np.testing.assert_allclose(ring, np.stack([np.sin(angle), np.cos(angle)], axis=1), atol=1e-12)
    more = {one["name"]: one["kind"] for one in tomllib.loads(taken_up(text))["hypotheses"]}
    assert more == {
        "7d_ring": "ring",
        "day": "linear",
        "is_first": "classes",
        "same": "linear",
        "length": "linear",
        "mood": "classes",
    }


def test_proposals_load_too(tmp_path: Path) -> None:
    _, _, text = drafted(tmp_path, week(length=[6, 7, 9], mood=["good", "bad", "fair"]))
    (tmp_path / "drafted.toml").write_text(taken_up(text))

    task = user_task(str(tmp_path / "drafted.toml"))

    assert [one.name for one in task.hypotheses] == ["length", "mood"]
    assert task.needs == ("case",) and len(task.colours) == 3


def test_numbers_as_labels_keep_their_hypothesis(tmp_path: Path) -> None:
    rows = [{"text": f"{line} apples, {n}", "label": n, "target_log": np.log(n)} for line in "abcd" for n in (1, 2, 5)]

    _, task, _ = drafted(tmp_path, rows)

    assert [one.name for one in task.hypotheses] == ["linear", "log"] and task.values.tolist() == [1.0, 2.0, 5.0]


def test_columns_of_other_names_are_guessed(tmp_path: Path) -> None:
    rows = [
        {"id": f"{n}", "utterance": f"{line}, they said", "speaker": f"s{line % 4}", "tone": tone}
        for line in range(6)
        for n, tone in enumerate(("calm", "loud"))
    ]

    raw, task, text = drafted(tmp_path, rows)

    assert (raw["text"], raw["label"], raw["position"]) == ("utterance", "tone", "end")
    assert task.labels == ("calm", "loud")
    assert '\n# group = "speaker"\n' in text


def test_data_is_named_from_where_the_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "tasks").mkdir()
    path = tmp_path / "data" / "week.jsonl"
    path.write_text("\n".join(map(json.dumps, week())))
    out = tmp_path / "tasks" / "days.toml"

    out.write_text(draft(str(path), out.parent))

    assert tomllib.loads(out.read_text())["data"] == "../data/week.jsonl"
    assert len(user_task(str(out)).sentences) == 18


def test_names_of_columns_become_names_in_one_line(tmp_path: Path) -> None:
    rows = week(**{"target_a\nb": [1, 2, 4], "target_a\x00b": [1, 3, 5], "target_a b": [3, 2, 9], "target_\x1b": [4, 4, 5]})

    raw, task, _ = drafted(tmp_path, rows)

    names = [one["name"] for one in raw["hypotheses"]]
    assert len(set(names)) == 4 and all(name.isprintable() for name in names)
    assert [one.of_label.ravel().tolist() for one in task.hypotheses if one.of_label is not None][:3] == [
        [1, 2, 4],
        [1, 3, 5],
        [3, 2, 9],
    ]


def test_column_that_could_hold_groups_is_proposed(tmp_path: Path) -> None:
    many = [row | {"who": f"w{n % 70}", "two": "ab"[n % 2], "each": f"x{n}"} for n, row in enumerate(week() * 8)]

    _, _, text = drafted(tmp_path, many)

    assert [line for line in text.splitlines() if line.startswith("# group =")] == ['# group = "who"']


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
CELLS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), WORDS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.one_of(WORDS, WORDS.map("target_{}".format)), max_size=3, unique=True),
    labels=st.lists(WORDS, min_size=2, max_size=4, unique=True),
    data=st.data(),
)
def test_whatever_the_table_holds_its_draft_loads(
    names: list[str], labels: list[str], data: st.DataObject, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {name: data.draw(CELLS) for name in names} | {"text": f"{line} {label}.", "label": label}
        for line in range(4)
        for label in labels
    ]
    path = tmp_path / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    try:
        bare = user_task(str(path))
    except TaskError:
        # Labels of nothing but blanks, or that are one word: no task, and no draft either.
        with pytest.raises(TaskError):
            draft(str(path), tmp_path)
        return

    (tmp_path / "drafted.toml").write_text(draft(str(path), tmp_path), encoding="utf-8")
    task = user_task(str(tmp_path / "drafted.toml"))

    assert (task.labels, task.sentences, task.groups) == (bare.labels, bare.sentences, bare.groups)
    assert task.values.tolist() == bare.values.tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"said": f"{n}", "who": "me"} for n in range(9)],
            "has no column of 2 to 500 words that occur again and could be its labels",
        ),
        ([{"text": "a", "label": "b"}] * 9, "has 1 label, 'b', with two rows or more"),
        ([{"n": n % 2, "m": n} for n in range(9)], "has no column text, sentence, Sentence or prompt; it has n and m"),
    ],
    ids=["no labels", "one label", "no text"],
)
def test_table_that_gives_no_task_is_refused(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message):
        drafted(tmp_path, rows)
