"""An atlas whose every text is hostile, out of every command that prints one: nothing acts, and everything is told."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from printed import computed, require_still, run

from atlas.stages import Column, Stage
from atlas.store import Store, write_atlas
from hostile import HOSTILE, encodable, everything
from pipelines import tasks
from pipelines.cli import main
from pipelines.printing import WIDEST, aligned, printable, write_csv, write_json
from pipelines.scores import _escaped
from synthetic import synthetic_tables

STRINGS = encodable(1_000)
N_EXPERTS = 40


@pytest.fixture(autouse=True)
def long_cells() -> Iterator[None]:
    """Python's reader of CSV takes cells of any length."""
    before = csv.field_size_limit(10_000_000)
    yield
    csv.field_size_limit(before)


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work folders of atlases whose experts and sources are called by hostile strings, each of them once or more."""
    root = tmp_path_factory.mktemp("titled")
    texts = cycle([*STRINGS, *HOSTILE["long"]])
    for number in range(-(-len(STRINGS) // N_EXPERTS)):
        tables = synthetic_tables()
        tables["titles"]["title"] = list(islice(texts, N_EXPERTS))
        tables["tasks"]["name"] = [f"{name}{task}" for task, name in enumerate(islice(texts, len(tables["tasks"]["name"])))]
        write_atlas(root / str(number) / "atlas.duckdb", tables)
    return root


def titles(work: Path) -> dict[int, str]:
    with Store(work / "atlas.duckdb") as store:
        return dict(store.table("titles").select("expert", "title").iter_rows())


def test_what_is_printed_acts_on_no_terminal_whatever_the_text() -> None:
    for text in everything():
        shown = printable(text)
        require_still(shown)
        assert shown.isprintable() and printable(shown) == shown
        if text.isascii() and text.isprintable():
            assert shown == text


def test_what_cannot_be_seen_is_spelled_out() -> None:
    assert printable("a\u200db\ufe0f\u3164\u00a0") == r"a\u200db\ufe0f\u3164\xa0"
    assert printable("e\u0301" + "\u0302" * 9) == "e\u0301\u0302\u0302\u0302" + r"\u0302" * 6
    assert printable("\u0301e") == r"\u0301e" and printable("\ud800") == r"\ud800"


def test_columns_line_up_whatever_the_text() -> None:
    cells = [*STRINGS, *HOSTILE["long"], *HOSTILE["surrogates"], "\u65e5\u672c", "e\u0301e\u0301"]
    lines = aligned([[cell, "|"] for cell in cells]).split("\n")

    assert len(lines) == len(cells)
    ends = {line.rindex("|") + _wider(line) for line in lines}
    assert ends == {WIDEST + 2}


def _wider(text: str) -> int:
    """By how many columns a terminal draws a text wider than it has characters; marks take none."""
    return sum(
        -1 if unicodedata.category(letter) in ("Mn", "Me") else unicodedata.east_asian_width(letter) in "WF" for letter in text
    )


def test_a_spreadsheet_computes_nothing_and_the_text_can_be_had_again(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [*everything(), "a;=1+1", "a; '=1+1", "'=1+1", "''@x", "=1;=2;x", "x;-1", "\uff1dA1"]
    write_csv(["number", "text"], ({"number": -1.5, "text": text} for text in texts))
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))

    assert rows[0] == ["number", "text"] and {row[0] for row in rows[1:]} == {"-1.5"}
    found = [row[1] for row in rows[1:]]
    assert not [cell for cell in found if computed(cell)]
    assert [re.sub("(^|;)'(?=['\" ]*[=+\\-@\uff1d\uff0b\uff0d\uff20])", r"\1", cell) for cell in found] == list(
        map(printable, texts)
    )


def test_json_is_ascii_and_holds_every_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(list(encodable()))
    printed = capsys.readouterr().out

    assert printed.isascii()
    require_still(printed)
    assert json.loads(printed) == list(encodable())


def test_latex_sets_every_text_as_it_is() -> None:
    command = (
        r"\\(?:[&%$#_{} ]|text(?:backslash|asciitilde|asciicircum|less|greater|bar|asciigrave|quotesingle)\{\})|\$\^2\$|-\{\}"
    )
    for text in everything():
        rest = re.sub(command, "x", _escaped(text))
        assert not re.search(r"[\\&%$#_{}~^<>|`']|--|  |^ ", rest.replace("--", "") if "\u2013" in text else rest), text
    assert _escaped(r"\input{a}") == r"\textbackslash{}input\{a\}" and _escaped("a--b  c") == r"a-{}-b \ c"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_shapes_and_neighbours_print_hostile_names(titled: Path, form: str) -> None:
    for work in titled.iterdir():
        known = titles(work)
        printed = run("neighbours", 12, "--format", form, "--work", work)
        shapes = run("shapes", "--class", "ring", "--format", form, "--work", work)
        assert (printed.exit_code, shapes.exit_code) == (0, 0)
        if form == "csv":
            for row in [*csv.DictReader(io.StringIO(printed.stdout)), *csv.DictReader(io.StringIO(shapes.stdout))]:
                assert not computed(row["title"]) and not computed(row.get("source", ""))
        if form == "json":
            found = json.loads(printed.stdout)["neighbours"] + json.loads(shapes.stdout)["experts"]
            assert all(one["title"] == known[one.get("neighbour", one.get("expert"))] for one in found)


@pytest.mark.parametrize("form", ["table", "csv", "json", "latex"])
def test_scores_print_hostile_names(tmp_path: Path, form: str) -> None:
    strings = [text for text in STRINGS if text.strip()]
    n = len(strings)
    names = ("all_rows", "all_rows_low", "all_rows_high", "where_it_fires", "p_order", "p_order_adjusted", "left_out_label")
    scores: dict[str, Column] = {name: np.full(n, 0.5) for name in names}
    scores |= {"task": np.ones(n, int), "hypothesis": np.zeros(n, int), "expert": np.arange(n)}
    scores |= {name: np.full(n, 12) for name in ("n_where_it_fires", "covered")}
    scores |= {name: np.ones(n, bool) for name in ("testable", "order_supported")}
    title = "\x1b[2J\n% \\end{document}"
    stated: dict[str, Column] = {"task": np.array([1]), "hypothesis": [0], "name": ["ring"], "title": [title]}
    tables: dict[str, dict[str, Column]] = {
        "tasks": {"task": np.array([1]), "name": ["=months\x1b"]},
        "labels": {"task": np.ones(12, dtype=int)},
        "titles": {"expert": list(range(n)), "title": list(strings)},
        "hypotheses": {**stated, "measure": ["R²"], "probe": ["linear"], "testable": [1]},
        "scores": scores,
        "baselines": {"task": [1], "hypothesis": [0], "reference": ["chance"], "metric": ["all_rows"], "value": np.array([0.2])},
    }
    Stage(tmp_path, "probe", {}).finish(tables, {})

    printed = run("scores", "--work", tmp_path, "--format", form, "--top", n).stdout

    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(printed)))
        assert len(rows) == n and not [row for row in rows if computed(row["title"]) or computed(row["task"])]
    if form == "json":
        assert {one["title"] for one in json.loads(printed)[0]["experts"]} == set(strings)
    if form == "latex":
        lines = printed.splitlines()
        assert sum(line.endswith(r" \\") for line in lines) == n + 1
        assert all(line.startswith(("%", "\\")) or not line or line[0].isdigit() or line.startswith("rank") for line in lines)


def test_refusals_and_wrong_options_name_hostile_texts_in_one_line(tmp_path: Path) -> None:
    for text in [text for text in encodable(300) if "\0" not in text]:
        for arguments in (["inspect", f"./{text}"], ["tasks", "show", f"./{text}.csv"], ["neighbours", f"x{text}"]):
            result = run(*arguments)
            assert result.exit_code in (1, 2) and result.stderr.endswith("\n")


def test_bytes_that_are_no_text_are_refused_by_name() -> None:
    result = run("inspect", "a\udcffb")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: The argument 'a\\udcffb' is not text in UTF-8. Rename what it names.\n",
    )


def test_an_output_that_is_not_utf8_gets_names_for_what_it_lacks(tmp_path: Path) -> None:
    write_atlas(tmp_path / "atlas.duckdb", synthetic_tables())
    for charset in ("ascii", "latin-1", "cp1252"):
        result = CliRunner(charset=charset).invoke(main, ["shapes", "--work", str(tmp_path)])
        assert result.exit_code == 0, result.output


def test_what_others_print_is_spelled_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def prints() -> None:
        sys.stdout.write("a\x1b[2Jb\rc\u2028\n")
        sys.stderr.writelines(["\rbar 50%", "\x1b[A", "\n\x1b]0;x\x07\n"])
        click.echo("\x1b[31mred")

    monkeypatch.setattr(tasks.list_tasks, "callback", prints)
    result = CliRunner().invoke(main, ["tasks", "list"])

    assert result.stdout == "a\\x1b[2Jb\\rc\\u2028\n\\x1b[31mred\n"
    assert result.stderr == "\rbar 50%\x1b[A\n\\x1b]0;x\\x07\n"
