"""An atlas in a notebook: what `import atlas` costs, and the queries of docs/notebooks.md as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import atlas
from atlas.bake.embed import EmbedConfig, embed
from atlas.errors import AtlasMissing
from synthetic import HOSTILE, VOCABULARY, synthetic_tables, write_synthetic

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """The tables of the synthetic atlas, as they were before they were written."""
    return {name: pl.DataFrame(columns, strict=False) for name, columns in synthetic_tables().items()}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The variables of a notebook in which every block of the document was run, in order, beside a synthetic atlas."""
    folder = tmp_path_factory.mktemp("notebook")
    write_synthetic(folder / "atlas.duckdb")
    embed(folder / "atlas.duckdb", 12, folder / "expert-12.html", EmbedConfig())
    variables: dict[str, Any] = {}
    display = ModuleType("IPython.display")
    display.IFrame = display.HTML = lambda *_given, **_named: None  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(sys.modules, "IPython.display", display)
        for block in BLOCKS:
            exec(compile(block, "docs/notebooks.md", "exec"), variables)
    variables["a"].close()
    return variables


def test_measures_of_codes_from_elsewhere_tell_a_ring_from_noise(notebook: dict[str, Any]) -> None:
    found, order, worst = (notebook[name] for name in ("found", "order", "worst"))
    assert found.all_rows[0] > 0.7 > 0.1 > found.all_rows[1]
    assert order.p_adjusted[0] < 0.05 < order.p_adjusted[1] and worst[0] > 0 > worst[1]


def test_an_experts_page_is_written_into_a_frame(notebook: dict[str, Any]) -> None:
    assert "&lt;!doctype html&gt;" in notebook["page"] and '"' not in notebook["page"]


def test_importing_atlas_loads_nothing_heavy() -> None:
    program = "import sys, atlas; print(sorted({'duckdb', 'polars', 'torch', 'numpy', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_opening_an_atlas_takes_text_or_a_path_and_needs_no_torch(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "atlas.duckdb")
    program = f"""
import sys
sys.modules["torch"] = None
import atlas
with atlas.open({str(path)!r}) as a:
    print(type(a.table("scores")), len(a.experts()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("<class 'polars.dataframe.frame.DataFrame'> 40\n", "")
    with atlas.open(path) as a:
        assert a.table("labels").height == 112


def test_a_missing_atlas_says_what_to_run() -> None:
    with pytest.raises(AtlasMissing, match="No atlas at 'nowhere.duckdb'. Run `atlas build`"):
        atlas.open("nowhere.duckdb")


def test_the_document_has_its_queries() -> None:
    assert len(BLOCKS) == 9
    named = set(re.findall(r"`a\.(\w+)", DOCUMENT))
    with_methods = {name for name in named if hasattr(atlas.store.Store, name)}
    assert named == with_methods >= {"tables", "table", "experts", "points", "provenance", "run_log", "sql", "close"}


def test_experts_that_fire_on_september_come_by_lift(notebook: dict[str, Any], tables: dict[str, pl.DataFrame]) -> None:
    september = notebook["september"]
    expected = [
        (row["expert"], row["fires"], row["lift"])
        for row in tables["label_stats"].iter_rows(named=True)
        if (row["task"], row["label"]) == (1, 8) and row["fires"] >= 0.5
    ]
    expected.sort(key=lambda row: (-row[2], row[0]))
    assert len(expected) > 5
    assert september.select("expert", "fires", "lift").rows() == expected
    titles = dict(tables["titles"].select("expert", "title").iter_rows())
    assert september["title"].to_list() == [titles[expert] for expert, *_ in expected]


def test_strongest_contexts_are_text_around_the_firing(notebook: dict[str, Any], tables: dict[str, pl.DataFrame]) -> None:
    windows = {row["window"]: row["tokens"] for row in tables["windows"].iter_rows(named=True) if row["task"] == 0}
    expected = []
    for row in (
        tables["top_firings"].filter(pl.col("expert") == 12, pl.col("stratum") == "top").sort("rank").iter_rows(named=True)
    ):
        tokens, at = list(windows[row["window"]]), row["position"]
        before, after = tokens[max(at - 12, 0) : at], tokens[at + 1 : at + 13]
        text = ["".join(VOCABULARY[token] for token in part) for part in (before, [tokens[at]], after)]
        expected.append((row["rank"], f"{text[0]}[{text[1]}]{text[2]}"))
    assert len(expected) == 20
    assert notebook["contexts"].select("rank", "context").rows() == expected
    assert any(token in context for _, context in expected for token in HOSTILE)


def test_experts_that_fire_together_are_counted_on_the_token_sample(
    notebook: dict[str, Any], tables: dict[str, pl.DataFrame]
) -> None:
    fired: dict[int, set[int]] = {}
    for row in tables["token_sample_firings"].iter_rows(named=True):
        fired.setdefault(row["expert"], set()).add(row["token"])
    shared = {expert: len(tokens & fired[12]) for expert, tokens in fired.items() if expert != 12}
    expected = sorted((-tokens, expert) for expert, tokens in shared.items() if tokens)
    together = notebook["together"]
    assert len(expected) > 5
    assert together.select("expert", "tokens").rows() == [(expert, -tokens) for tokens, expert in expected]
    assert together["share"].to_list() == pytest.approx([-tokens / len(fired[12]) for tokens, _ in expected])


def test_rings_stand_beside_what_chance_would_give(notebook: dict[str, Any], tables: dict[str, pl.DataFrame]) -> None:
    loops = tables["shape_tests"].filter(pl.col("statistic") == "loop")
    counts = tables["shape_classes"].filter(pl.col("class") == "ring")
    expected = [
        (
            row["expert"],
            loops.filter(task=row["task"], expert=row["expert"])["value"].item(),
            *counts.filter(task=row["task"]).select("experts", "expected").row(0),
        )
        for row in tables["shapes"].filter(pl.col("class") == "ring").sort("task", "expert").iter_rows(named=True)
    ]
    expected.sort(key=lambda row: -row[1])
    assert len(expected) > 10
    assert notebook["rings"].select("expert", "loop", "experts", "expected").rows() == expected


def test_scores_above_a_random_projection_are_those_and_no_other(
    notebook: dict[str, Any], tables: dict[str, pl.DataFrame]
) -> None:
    references = {
        (row["task"], row["hypothesis"]): row["value"]
        for row in tables["baselines"].iter_rows(named=True)
        if row["reference"] == "random_projection"
    }
    expected = [
        (row["all_rows"] - references[row["task"], row["hypothesis"]], row["task"], row["hypothesis"], row["expert"])
        for row in tables["scores"].iter_rows(named=True)
        if row["testable"] and row["all_rows_low"] > references[row["task"], row["hypothesis"]]
    ]
    expected.sort(key=lambda row: (-row[0], *row[1:]))
    above = notebook["above"]
    assert len(expected) > 3
    assert above["expert"].to_list() == [row[3] for row in expected]
    assert (above["all_rows"] - above["random_projection"]).to_list() == pytest.approx([row[0] for row in expected])
