from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from synthetic import write_synthetic


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas."""
    return write_synthetic(tmp_path_factory.mktemp("atlas") / "atlas.duckdb")


def assert_one_line(result: Result, message: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr


def test_bake_prints_the_page_and_takes_what_an_author_says(atlas_path: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "CNAME").write_text("atlas.example.org")
    (tmp_path / "about.md").write_text("*Ours.*")
    (tmp_path / "own").mkdir()
    text = '{% extends "atlas/index.html.jinja" %}{% block footer %}<footer>Here</footer>{% endblock %}'
    (tmp_path / "own" / "index.html.jinja").write_text(text)
    options = ("--title", "A & B", "--about", tmp_path / "about.md", "--templates", tmp_path / "own")
    result = run("bake", atlas_path, "--out", tmp_path / "site", "--overwrite", *options)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'site' / 'index.html'}\n")
    assert "Baked 40 experts into" in result.stderr
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in page and "<em>Ours.</em>" in page and "<footer>Here</footer>" in page
    assert (tmp_path / "site" / "CNAME").read_text() == "atlas.example.org"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "taken"), "'taken' holds files that no bake wrote. Name another folder, or add --overwrite"),
        (("--out", "taken/notes.txt"), "cannot be written to 'taken/notes.txt': Not a directory"),
        (("--title", " "), "--title is ' '; give one line of text"),
        (("--about", "none.md"), "--about: 'none.md' cannot be read: No such file or directory"),
        (("--templates", "none"), "--templates: 'none' does not exist"),
    ],
    ids=["occupied", "file", "title", "about", "templates"],
)
@pytest.mark.parametrize("command", ["bake", "build", "demo"])
def test_what_cannot_be_used_is_said_in_one_line_before_any_work(
    command: str, options: tuple[str, ...], message: str, atlas_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("x")
    arguments = {"bake": (atlas_path,), "build": ("--checkpoint", "nowhere"), "demo": ()}[command]
    assert_one_line(run(command, *arguments, *options), message)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.txt", "taken"]
