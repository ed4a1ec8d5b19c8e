"""A task's name is that of a folder of the work folder: none leads out of it, and none stands for something else there."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.activations.corpus import PYTHON_DOCS
from atlas.errors import TaskError
from atlas.probe.tasks import NEWLINE_TASKS, chosen_tasks, user_task
from atlas.stages import Stage

TABLE = "text,label\n" + "".join(f"{n} {label},{label}\n" for n in range(4) for label in ("cats", "dogs"))
TEMPLATES = """
title = "T"
family = "t"
description = "d"
cyclic = false
labels = ["a", "b"]
""" + "".join(f'[[templates]]\ngroup = "{n}"\ntext = "It is {{label}} {n}"\n' for n in range(3))


def stage_files(folder: Path) -> list[str]:
    """What a stage keeps beside the folders of its parts."""
    Stage(folder, "probe", {}).finish({}, {})
    return [path.name for path in (folder / "probe").iterdir()]


def refusal(folder: Path, toml: str) -> str:
    (folder / "x.toml").write_text(toml)
    with pytest.raises(TaskError) as refused:
        user_task(str(folder / "x.toml"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("form", ["table", "templates"])
@pytest.mark.parametrize(
    "name", ["../harvest", "a/b", "/tmp/x", "..", ".hidden", "-x", "x.", "a b", "a\\nb", "x" * 61, "a\\\\b"], ids=range(11)
)
def test_name_that_is_no_name_is_refused(name: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLE)
    rest = TEMPLATES if form == "templates" else 'data = "x.csv"'

    assert "; a name is letters, digits, '_', '.' and '-', at most 60 of them" in refusal(tmp_path, f'name = "{name}"\n{rest}')


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "Aux.txt"])
def test_name_that_is_a_device_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    assert f"has the name '{name}', which is a device's on Windows" in refusal(tmp_path, f'name = "{name}"\n{TEMPLATES}')


@pytest.mark.parametrize("form", ["table", "templates"])
def test_names_that_atlas_keeps_are_refused_however_they_are_spelled(form: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLE)
    rest = TEMPLATES if form == "templates" else 'data = "x.csv"'
    names = [*stage_files(tmp_path), *NEWLINE_TASKS, PYTHON_DOCS]

    for name in (*names, *(name.upper() for name in names)):
        assert f"has the name '{name}', which Atlas keeps for itself; give another" in refusal(
            tmp_path, f'name = "{name}"\n{rest}'
        )


@pytest.mark.parametrize("name", ["x" * 60, "Ünï-code_1.2", "2024", "_"])
def test_other_names_are_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLE)
    (tmp_path / "x.toml").write_text(f'name = "{name}"')

    assert user_task(str(tmp_path / "x.csv")).name == name


def test_name_that_comes_earlier_is_refused_in_small_and_capital_letters(tmp_path: Path) -> None:
    (tmp_path / "Months.csv").write_text(TABLE)

    tasks, refused = chosen_tasks(["months"], [str(tmp_path / "Months.csv")])

    assert [task.name for task in tasks] == ["months"]
    assert refused[0].reason.startswith("A task named 'months' comes earlier. Give this one the key name")
