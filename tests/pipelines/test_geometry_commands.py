"""`atlas shapes` and `atlas neighbours` print what an atlas holds, and `atlas geometry` says what it lacks."""

from __future__ import annotations

import csv
import io
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tiny
from atlas.stages import Stage
from atlas.store import Store, write_atlas
from pipelines.cli import main
from pipelines.printing import printable
from synthetic import synthetic_tables, write_synthetic

KINDS = ["output", "encoder", "co_firing", "context"]
HOSTILE = "“\x1b[31m\u202e\u200b\n”"
"""Text of a token that would colour a terminal, turn its line around and end it."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a synthetic atlas, one of whose titles is hostile."""
    folder = tmp_path_factory.mktemp("work")
    tables = synthetic_tables()
    tables["titles"]["title"][7] = HOSTILE
    write_atlas(folder / "atlas.duckdb", tables)
    return folder


@pytest.fixture(scope="module")
def store(work: Path) -> Store:
    return Store(work / "atlas.duckdb")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def printed(*arguments: object) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Neighbours


def test_neighbours_are_of_all_four_kinds_the_nearest_first(work: Path, store: Store) -> None:
    found = read_csv(printed("neighbours", 12, "--top", 4, "--format", "csv", "--work", work))

    assert list(dict.fromkeys(row["kind"] for row in found)) == KINDS
    stored = store.sql("SELECT * FROM expert_neighbours WHERE expert = 12 AND rank < 4")
    expected = {(row["kind"], row["rank"] + 1, row["neighbour"], row["value"]) for row in stored.iter_rows(named=True)}
    assert {(row["kind"], int(row["rank"]), int(row["neighbour"]), float(row["value"])) for row in found} == expected
    assert [row["rank"] for row in found] == ["1", "2", "3", "4"] * 4
    titles = dict(store.table("titles").select("expert", "title").iter_rows())
    assert all(row["title"] == printable(titles[int(row["neighbour"])]) for row in found)


def test_one_kind_can_be_chosen_and_json_holds_the_same(work: Path) -> None:
    rows = read_csv(printed("neighbours", 12, "--kind", "context", "--format", "csv", "--work", work))
    found = json.loads(printed("neighbours", 12, "--kind", "context", "--format", "json", "--work", work))

    assert {row["kind"] for row in rows} == {"context"} and len(rows) == 20
    assert (found["expert"], len(found["neighbours"])) == (12, 20)
    assert [{name: printable(str(value)) for name, value in one.items()} for one in found["neighbours"]] == [
        {name: value for name, value in row.items() if name != "expert"} for row in rows
    ]


def test_table_has_a_part_for_each_kind_and_says_where_there_are_none(work: Path, store: Store) -> None:
    silent = store.sql("SELECT expert FROM expert_stats WHERE silent AND task = 0 ORDER BY expert")["expert"][0]

    lines = printed("neighbours", silent, "--top", 2, "--work", work).splitlines()

    assert lines[0].startswith(f"Expert {silent}: ")
    parts = [line.partition(":")[0] for line in lines if line.partition(":")[0] in KINDS]
    assert parts == KINDS
    assert lines.count("none") == 3
    assert lines[lines.index("none") + 2].startswith("encoder: ")


def test_no_text_of_a_token_reaches_the_terminal_as_it_is(work: Path) -> None:
    texts = [printed("neighbours", 7, "--work", work), printed("shapes", "--class", "ring", "--work", work)]

    for text in texts:
        assert not any(sign in text for sign in "\x1b\u202e\u200b")
        assert r"“\x1b[31m\u202e\u200b\n”" in text


def test_unknown_expert_is_one_line(work: Path) -> None:
    result = run("neighbours", 99, "--work", work)

    assert (result.exit_code, result.stderr) == (1, "Error: There is no expert 99. This atlas has experts 0 to 39.\n")


# Shapes


def test_without_a_class_shapes_are_counted_beside_chance(work: Path, store: Store) -> None:
    found = read_csv(printed("shapes", "--format", "csv", "--work", work))

    stored = store.sql("SELECT k.name, c.* FROM shape_classes AS c JOIN tasks AS k USING (task) ORDER BY c.task, c.rowid")
    assert [(row["source"], row["class"], int(row["experts"]), float(row["expected"])) for row in found] == [
        (row["name"], row["class"], row["experts"], row["expected"]) for row in stored.iter_rows(named=True)
    ]
    assert json.loads(printed("shapes", "--format", "json", "--work", work))["experts"] == []
    head, names, *lines = printed("shapes", "--work", work).splitlines()
    assert "by chance" in head and names.split()[:2] == ["source", "experts"]
    assert [line.split()[0] for line in lines] == ["synthetic", "months", "numbers"]
    ring = next(row for row in found if (row["source"], row["class"]) == ("months", "ring"))
    assert f"{ring['experts']} (0.4)" in lines[1]


def test_experts_of_a_class_come_by_adjusted_p_then_by_effect(tmp_path: Path) -> None:
    tables = synthetic_tables()
    shown = tables["shape_tests"]
    experts = [
        expert
        for task, expert, kind in zip(*(tables["shapes"][name] for name in ("task", "expert", "class")), strict=True)
        if (task, kind) == (1, "ring")
    ]
    first, second, third, *_ = experts
    for row, place in enumerate(zip(shown["task"], shown["expert"], shown["statistic"], strict=True)):
        if place == (1, first, "loop"):
            shown["p_adjusted"][row] = 0.04
        if place == (1, third, "loop"):
            shown["value"][row] *= 2
    write_atlas(tmp_path / "atlas.duckdb", tables)

    found = read_csv(printed("shapes", "--class", "ring", "--source", "months", "--format", "csv", "--work", tmp_path))

    assert [int(row["expert"]) for row in found] == [third, *(one for one in experts if one not in (first, third)), first]
    assert {row["source"] for row in found} == {"months"} and {row["class"] for row in found} == {"ring"}
    assert second in [int(row["expert"]) for row in found[1:]]


def test_above_the_experts_stands_how_many_there_are_and_how_many_by_chance(work: Path, store: Store) -> None:
    lines = printed("shapes", "--class", "line or ray", "--top", 3, "--work", work).splitlines()

    counts = store.sql("SELECT experts, tested FROM shape_classes WHERE class = 'line or ray' ORDER BY task")
    said = [f"line or ray: {found} of {tested} experts, 0.4 expected by chance" for found, tested in counts.iter_rows()]
    assert [line.partition(": ")[2] for line in lines[: len(said)]] == said
    assert lines[len(said)] == "" and len(lines[len(said) + 1 :]) == 1 + 3
    assert printed("shapes", "--class", "Line or Ray", "--top", 3, "--work", work).splitlines() == lines


def test_a_vanishing_p_and_a_vanishing_chance_are_printed_as_below_a_limit(tmp_path: Path) -> None:
    tables = synthetic_tables()
    tables["shape_tests"]["p_adjusted"] = [5.6e-250] * len(tables["shape_tests"]["expert"])
    tables["shape_classes"]["expected"] = [0.0] * len(tables["shape_classes"]["task"])
    write_atlas(tmp_path / "atlas.duckdb", tables)

    lines = printed("shapes", "--class", "ring", "--source", "months", "--work", tmp_path).splitlines()

    assert lines[0].endswith(" experts, below 0.1 expected by chance") and lines[-1].endswith("  < 0.0001")
    assert "(below 0.1)" in printed("shapes", "--work", tmp_path)


def test_a_class_that_no_expert_has_is_counted_and_lists_nobody(work: Path) -> None:
    assert printed("shapes", "--class", "sheet", "--source", "numbers", "--work", work).splitlines() == [
        "numbers: sheet: 0 of 7 experts, 0.4 expected by chance"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--class", "rings"), "There is no class 'rings'; there is ring, curve, sheet, line or ray, clusters, unclear."),
        (("--source", "month"), "There is no source 'month'; there is synthetic, months, numbers."),
        (("--class", " "), "--class is empty; name one, or leave it out."),
    ],
    ids=["class", "source", "empty"],
)
def test_what_is_not_there_is_one_line_that_names_what_is(arguments: tuple[str, ...], said: str, work: Path) -> None:
    result = run("shapes", *arguments, "--work", work)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {said}\n")


# Which atlas


@pytest.mark.parametrize("command", [("shapes",), ("neighbours", "1")], ids=lambda command: command[0])
def test_an_atlas_can_be_named_by_its_file_or_by_its_work_folder_and_not_by_both(
    command: tuple[str, ...], work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atlas = write_synthetic(tmp_path / "mine.duckdb")

    assert printed(*command, "--atlas", atlas)
    both = run(*command, "--atlas", atlas, "--work", work)
    assert (both.exit_code, both.stderr) == (
        1,
        f"Error: --atlas names '{atlas}', --work the atlas in '{work}'; give one of them.\n",
    )
    missing = run(*command)
    assert missing.stderr == "Error: No atlas at 'work/atlas.duckdb'. Run `atlas build` to write one.\n"


# The stage


def test_geometry_needs_harvest_and_probe_of_the_same_dictionary(tmp_path: Path) -> None:
    checkpoint, work = tiny.checkpoint(tmp_path / "checkpoint", {}), tmp_path / "work"
    stopped = run("geometry", "--checkpoint", checkpoint, "--work", work)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert stopped.stderr == (
        f"Error: '{work}' holds no finished harvest. Run `atlas harvest` (or `atlas build`) with this work folder first.\n"
    )
    assert not work.exists()

    Stage(work, "harvest", {"checkpoint": "another", "model": {}, "device": {"dtype": "float32"}}).finish({}, {})
    other = run("geometry", "--checkpoint", checkpoint, "--work", work)
    assert other.stderr.startswith(f"Error: '{work / 'harvest'}' was made from another checkpoint. Name another work folder")


@pytest.mark.parametrize("package", ["scikit-learn", "scipy", "gudhi"])
def test_a_missing_package_names_the_extra(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == package:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("atlas.stages.version", version)

    result = run("geometry", "--checkpoint", tiny.checkpoint(tmp_path / "checkpoint", {}), "--work", tmp_path / "work")

    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: This command needs {package}. Install the extra that has it: pip install 'expert-atlas[geometry]'\n"
    )
