"""`atlas figure` draws what a number or a link asks for, and says what it drew."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from synthetic import write_synthetic


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("drawn") / "atlas.duckdb")


def drawn(atlas: Path, out: Path, *words: str) -> Result:
    result = CliRunner().invoke(main, ["figure", "--atlas", str(atlas), "--out", str(out), *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_figure_is_drawn_and_its_file_printed(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "months.svg"
    result = drawn(atlas, out, "0", "--task", "months", "--width", "50mm")
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    assert result.stderr.startswith("Expert 0: ") and "months" not in result.stderr and "labels of Months" in result.stderr
    assert 'width="141.73' in out.read_text()


def test_a_link_says_what_is_drawn_and_options_come_before_it(atlas: Path, tmp_path: Path) -> None:
    link = "https://a.example/#/expert/0?colour=months:norm&seen=gate&camera=3"
    gate = drawn(atlas, tmp_path / "gate.svg", "--link", link)
    assert "coloured by norm" in gate.stderr and "as the gate sees them" in gate.stderr
    model = drawn(atlas, tmp_path / "model.svg", "--link", link, "--view", "model", "--task", "months")
    assert "coloured by label" in model.stderr and "adds to the residual stream" in model.stderr
    turned = drawn(
        atlas, tmp_path / "turned.svg", "--link", link.replace("camera=3", "camera=1"), "--view", "model", "--task", "months"
    )
    assert turned.exit_code == 0
    assert (tmp_path / "turned.svg").read_bytes() != (tmp_path / "model.svg").read_bytes()


def test_a_link_that_the_page_opens_is_drawn(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.svg"
    for link, said in {
        "#/expert/0?colour=nonsense&task=planets": "labels of Months, coloured by label",
        "#/expert/0?colour=months:nonsense&only=May": "Grey are ",
    }.items():
        result = drawn(atlas, out, "--link", link)
        assert result.exit_code == 0 and said in result.stderr
    # What is filtered out are labels of the link's task.
    other = drawn(atlas, out, "--link", "#/expert/0?colour=months&without=May", "--task", "synthetic")
    assert other.exit_code == 0 and "Grey" not in other.stderr
    refused = drawn(atlas, out, "--link", "#/expert/0?colour=months:template")
    assert refused.exit_code == 1 and "not by 'template'" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "No expert is named; give its number, or --link with the address of its page."),
        (("7", "--link", "#/expert/0"), "--link leads to expert 0, not to 7"),
        (("--link", "#/about"), "leads to no expert's page"),
        (("99",), "There is no expert 99. This atlas has experts 0 to 39."),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(atlas: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = drawn(atlas, tmp_path / "f.svg", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and said in line
    assert not list(tmp_path.iterdir())


def test_names_without_room_are_counted(atlas: Path, tmp_path: Path) -> None:
    result = drawn(atlas, tmp_path / "small.svg", "0", "--task", "months", "--width", "20mm", "--font-size", "12")
    assert "of 12 class means; a larger --width has room for more." in result.stderr
