from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atlas.bake import BakeConfig, bake
from pipelines.cli import main
from synthetic import write_synthetic


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas."""
    return write_synthetic(tmp_path_factory.mktemp("atlas") / "atlas.duckdb")


def test_facts_are_lines_of_name_and_value_under_headings(atlas_path: Path) -> None:
    result = run(atlas_path)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{atlas_path}: atlas"
    fidelity = lines[lines.index("fidelity") + 1 : lines.index("fidelity") + 4]
    assert [line.split() for line in fidelity] == [
        ["fvu_held_out", "0.274"],
        ["firings_per_token", "8.3"],
        ["held_out_tokens", "104551"],
    ]
    starts = {len(line) - len(line[2:].lstrip().partition("  ")[2].lstrip()) for line in fidelity}
    assert len(starts) == 1


def test_json_says_the_same(atlas_path: Path) -> None:
    found = json.loads(run(atlas_path, "--json").stdout)
    assert found["kind"] == "atlas"
    assert found["fidelity"] == {"fvu_held_out": 0.274, "firings_per_token": 8.3, "held_out_tokens": 104551}
    lines = run(atlas_path).stdout
    for title, facts in found.items():
        if isinstance(facts, dict):
            assert f"\n{title}\n" in lines
            assert all(f"\n  {name} " in lines for name in facts)


def test_text_of_a_file_moves_no_cursor(atlas_path: Path, tmp_path: Path) -> None:
    folder = bake(atlas_path, tmp_path / "site", BakeConfig(title="Ours")).folder
    page = folder / "index.html"
    page.write_text(page.read_text().replace("<title>Ours", "<title>Ours\x1b[2J"))
    assert "\x1b" not in run(folder).stdout


def test_nothing_to_inspect_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
