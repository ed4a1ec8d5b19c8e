"""`atlas scores` prints the same experts in every format, each as its readers expect it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from atlas.stages import Column, Stage
from pipelines.cli import main

NUMBERS = ("all_rows", "all_rows_low", "all_rows_high", "where_it_fires", "p_order", "left_out_label")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A finished probe of one hypothesis, with a title that CSV and LaTeX must quote."""
    scores: dict[str, Column] = {name: np.array([0.75, 0.5]) for name in NUMBERS}
    scores |= {"task": np.array([1, 1]), "hypothesis": np.array([0, 0]), "expert": np.array([7, 3])}
    scores |= {"n_where_it_fires": np.array([1200, 60]), "covered": np.array([12, 4]), "testable": np.array([True, False])}
    scores |= {"p_order_adjusted": np.array([0.0005, np.nan]), "order_supported": np.array([True, False])}
    stated: dict[str, Column] = {"task": np.array([1]), "hypothesis": [0], "name": ["cyc_12m"], "title": ["12-month ring"]}
    Stage(tmp_path, "probe", {}).finish(
        {
            "tasks": {"task": np.array([1]), "name": ["months"]},
            "labels": {"task": np.ones(12, dtype=int)},
            "titles": {"expert": [3, 7], "title": ["“a”, “50 %”", "Months & years_"]},
            "hypotheses": {**stated, "measure": ["R²"], "probe": ["linear"], "testable": [1]},
            "scores": scores,
            "baselines": {
                **{"task": [1], "hypothesis": [0], "reference": ["chance"], "metric": ["all_rows"]},
                "value": np.array([0.27]),
            },
        },
        {},
    )
    return tmp_path


def printed(work: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["scores", "--work", str(work), "--task", "months", "--hypothesis", "cyc_12m", *options])


def test_table_has_a_line_for_each_expert_and_what_it_is_read_against(work: Path) -> None:
    head, names, first, second, reference, *_ = printed(work).stdout.splitlines()

    assert head == "months · 12-month ring (cyc_12m): R², 12 labels, 1 expert testable"
    assert names.split("  ")[0] == "rank"
    assert first.split() == "1 7 Months & years_ 0.75 (0.75–0.75) 0.75 (1,200) 12 of 12 0.0005 0.75 yes".split()
    assert second.split() == "2 3 “a”, “50 %” 0.50 (0.50–0.50) 0.50 (60) 4 of 12 – 0.50 no".split()
    assert reference.strip() == "without an expert: tight clusters at random places 0.27"


def test_top_says_how_many(work: Path) -> None:
    assert len(printed(work, "--top", "1", "--format", "csv").stdout.splitlines()) == 2


def test_csv_and_json_hold_the_same_numbers(work: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(work, "--format", "csv").stdout)))
    (found,) = json.loads(printed(work, "--format", "json").stdout)

    assert [row["title"] for row in rows] == [one["title"] for one in found["experts"]] == ["Months & years_", "“a”, “50 %”"]
    for row, one in zip(rows, found["experts"], strict=True):
        assert row == {"task": "months", "hypothesis": "cyc_12m", "measure": "R²"} | {
            name: "" if value is None else str(value) for name, value in one.items()
        }
    assert found["experts"][1]["p_order_adjusted"] is None and found["references"] == {"chance": {"all_rows": 0.27}}


def test_latex_sets_every_sign_as_it_is(work: Path) -> None:
    lines = printed(work, "--format", "latex").stdout.splitlines()

    assert "\\toprule" in lines and lines.count("\\end{tabular}") == 1
    (row,) = (line for line in lines if "Months" in line)
    assert "Months \\& years\\_" in row and row.count(" & ") == 8 and row.endswith(" \\\\")
    assert "50 \\%" in "".join(lines)


def test_unknown_hypothesis_is_one_line(work: Path) -> None:
    done = CliRunner().invoke(main, ["scores", "--work", str(work), "--task", "months", "--hypothesis", "rung"])
    assert (done.exit_code, done.stderr) == (1, "Error: There is no hypothesis 'rung' here; there is cyc_12m.\n")
