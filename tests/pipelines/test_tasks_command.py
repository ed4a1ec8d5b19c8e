"""`atlas tasks` lists tasks, shows one, and writes a first description of a user's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atlas.probe.tasks import BUILTIN_TASKS, builtin_tasks, user_task
from pipelines.cli import main

COLOURS = ("red", "green", "blue")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["tasks", *map(str, arguments)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sentences about colours, one without text."""
    rows = [{"text": f"Case {n}:\na {name} \x1b[2J door", "label": name, "target_n": n} for n in range(6) for name in COLOURS]
    path = tmp_path / "doors.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, {"text": "", "label": "red", "target_n": 0}])))
    return path


# list


def test_list_has_a_line_for_each_task_in_order() -> None:
    result = run("list")

    assert (result.exit_code, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["name", "title", "labels", "sentences", "hypotheses", "needs"]
    assert [line.split()[0] for line in lines] == [*BUILTIN_TASKS, "newline_80", "newline_150", "emotions"]
    assert len({line.index(word) for line, word in ((head, "title"), (lines[0], "Months"), (lines[15], "Place"))}) == 1


def test_list_says_what_each_task_has_and_needs() -> None:
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}

    for task in builtin_tasks():
        cells = f"{len(task.labels)} {len(task.sentences):,} {', '.join(one.name for one in task.hypotheses)}".split()
        assert " ".join(lines[task.name].split()).endswith(" ".join([*cells, *task.needs]))
    assert lines["newline_80"].split()[-1] == "newline"
    assert "GoEmotions, which you bring" in lines["emotions"]


def test_list_loads_no_torch() -> None:
    """It answers at once."""
    code = "import sys, pipelines.cli as c; c.main(['tasks', 'list'], standalone_mode=False); sys.exit('torch' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# show


def test_show_prints_all_of_a_builtin_task() -> None:
    (months,) = (task for task in builtin_tasks() if task.name == "months")

    result = run("show", "months")

    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:2] == ["months: Months", months.description]
    assert f"{len(months.sentences)} rows, 12 labels in a circle, {len(months.groups)} templates" in lines
    assert f"December 11 {len(months.groups)}" in lines
    groups = [line for line in lines if line.endswith("report set")]
    assert len(groups) == len(months.group_names()[1::3])
    assert "cyc_12m 12-month ring ring linear sine and cosine of 2π · value / 12" in lines
    assert sum("[January]" in line or "[December]" in line for line in lines) >= 2
    assert not {"left out", "assumed"} & set(lines)


def test_show_says_what_was_left_out_and_moves_no_cursor(table: Path) -> None:
    result = run("show", table)

    assert result.exit_code == 0 and "\x1b" not in result.stdout
    assert "\nleft out\n  1 of 19 rows left out: their text is empty.\n" in result.stdout
    assert "\nassumed\n  Probed where the label ends in its text, at the last mention.\n" in result.stdout
    assert r"  Case 0:\na [red] \x1b[2J door" in result.stdout.splitlines()
    assert "\n0 hypotheses\n" in result.stdout


@pytest.mark.parametrize(
    ("n_labels", "n_rows", "said"),
    [
        (2, 9, "tested: that takes 3 labels with 5 rows or more outside the report set"),
        (6, 6, "tested: that takes 3 labels with 5 rows or more outside the report set"),
        (5, 9, "supported: that takes 6 labels that an expert covers"),
        (6, 9, None),
    ],
)
def test_show_says_where_labels_are_too_few_for_an_order(n_labels: int, n_rows: int, said: str | None, tmp_path: Path) -> None:
    rows = [{"text": f"{n} is {label}", "label": label, "at": f"g{n % 3}"} for n in range(n_rows) for label in range(n_labels)]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "few.toml").write_text('group = "at"')

    shown = run("show", tmp_path / "few.jsonl").stdout

    assert ("No order of the labels can be" in shown) == (said is not None)
    assert said is None or f"No order of the labels can be {said}" in shown


def test_long_example_is_cut_around_what_is_probed(tmp_path: Path) -> None:
    rows = [{"text": f"{'very ' * 50}{n} {name}{' indeed' * 30}", "label": name} for n in range(3) for name in COLOURS]
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    examples = run("show", path).stdout.splitlines()[-3:]

    assert all(line.startswith("  …") and line.endswith("…") and len(line) < 140 for line in examples)
    assert [line.partition("[")[2].partition("]")[0] for line in examples] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("moons", "Error: No task 'moons' comes with Atlas; `atlas tasks list` prints those that do."),
        ("emotions", "Error: The text of 'emotions' does not come with Atlas: it is GoEmotions, which you bring."),
        ("newline_80", "Error: The text of 'newline_80' does not come with Atlas: it is made of the model's tokens."),
        ("none.csv", "Error: No table at 'none.csv'."),
    ],
)
def test_task_that_cannot_be_shown_is_one_line(source: str, message: str) -> None:
    result = run("show", source)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(message) and result.stderr.count("\n") == 1


# new


def test_new_writes_a_file_that_makes_the_table_a_task(table: Path) -> None:
    result = run("new", table)

    out = table.with_suffix(".toml")
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    for source in (table, out):
        task = user_task(str(source))
        assert (task.labels, len(task.sentences), [one.name for one in task.hypotheses]) == (COLOURS, 18, ["n"])


def test_new_refuses_to_overwrite(table: Path) -> None:
    out = table.with_suffix(".toml")
    out.write_text("# mine")

    result = run("new", table)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: '{out}' is there already; name another file with --out, or move it away.\n"
    assert out.read_text() == "# mine"
    assert run("new", table, "--out", table.parent / "other.toml").exit_code == 0


def test_new_without_a_task_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("text,label\na,b\nc,b\n")

    result = run("new", path)

    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "with two rows or more" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_new_writes_no_file_of_another_ending(table: Path) -> None:
    result = run("new", table, "--out", table.parent / "x.txt")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("x.txt' does not end in .toml, by which a task's description is known; name it 'x.toml'.\n")
    assert not (table.parent / "x.txt").exists()


def test_new_says_where_it_cannot_write(table: Path, tmp_path: Path) -> None:
    result = run("new", table, "--out", tmp_path / "no" / "such.toml")

    assert result.exit_code == 1 and "such.toml' cannot be written: No such file or directory." in result.stderr
