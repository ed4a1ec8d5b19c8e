"""`atlas inspect CHECKPOINT --corpus …` says whether a checkpoint is folded right, and `--repair` mends it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from click.testing import CliRunner, Result

import tiny
from atlas.activations.corpus import load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, save
from atlas.dictionary.diagnosis import residual_rows
from atlas.inspection import inspect
from pipelines.cli import main
from planted import Planted
from synthetic import write_synthetic


class Folder(NamedTuple):
    """A folder with checkpoints of one dictionary of a tiny GPT-2, and the text that it rebuilds."""

    path: Path
    scale: float
    d_in: int

    def run(self, *arguments: object) -> Result:
        """Inspect, with the names of things in the folder."""
        given = [str(self.path / str(a)) if (self.path / str(a)).exists() else str(a) for a in arguments]
        return CliRunner().invoke(main, ["inspect", *given])


@pytest.fixture(scope="module")
def folder(models: dict[str, Path], corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("folds")
    shutil.copy(corpus_file, path / "text.jsonl")
    model = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"])
    x = torch.cat(list(residual_rows(load_corpus(str(corpus_file)), model, StreamConfig(48), 10**6)))
    s = math.sqrt(model.d_model) / float(x.norm(dim=1).mean())
    mean = x.mean(dim=0) * s
    axes = torch.linalg.svd(x * s - mean, full_matrices=False).Vh
    # Five experts share the fifteen longest axes.
    dictionary = Planted(axes[:15].reshape(5, 3, -1), mean, 0.1, rescale=True)
    metadata = {"model_name": str(models["gpt2"]), "hook_name": tiny.HOOKS["gpt2"], "context_size": 48}
    for name, rule in (("right", "right"), ("wrong", "rule 1")):
        save(dictionary.folded(rule, s), path / name, metadata)
    tiny.checkpoint(path / "bad", metadata)
    tiny.checkpoint(path / "nameless", {})
    write_synthetic(path / "a.duckdb")
    return Folder(path, s, model.d_model)


def test_a_right_checkpoint_is_said_to_look_right(folder: Folder) -> None:
    result = folder.run("right", "--corpus", "text.jsonl")

    assert result.exit_code == 0, result.output
    facts, fold = result.stdout.split("\nfold\n")
    assert "\ndecoder norms\n" in facts
    lines = fold.splitlines()
    assert f"scale {folder.scale:.4g}, measured on these rows" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[3:7]] == ["as stored", "rule 1", "rule 2", "no fold"]
    assert lines[-1].startswith("  Looks right") and "--repair" not in lines[-1]


def test_json_has_every_number(folder: Folder) -> None:
    whole = json.loads(folder.run("wrong", "--corpus", "text.jsonl", "--json").stdout)
    lines = folder.run("wrong", "--corpus", "text.jsonl").stdout

    fold = whole.pop("fold")
    assert whole == {"kind": "checkpoint", "path": str(folder.path / "wrong"), **inspect(folder.path / "wrong").groups}
    assert (fold["verdict"], fold["mend"], fold["scale_source"]) == ("misfolded", "rule 1", "measured")
    assert fold["scale"] == pytest.approx(math.sqrt(folder.d_in) / fold["mean_norm"]) == pytest.approx(folder.scale, rel=1e-5)
    assert fold["sentence"] in lines and "`--repair OUT`" in lines
    stored, mended = fold["readings"][:2]
    assert (stored["mend"], mended["mend"]) == ("as stored", "rule 1")
    assert mended["fvu"] < 0.2 < 0.5 < stored["fvu"]
    assert f"{mended['fvu']:.3g}" in lines and f"{stored['norm_ratio']:.3g}" in lines


def test_tokens_bound_what_is_read(folder: Folder) -> None:
    fold = json.loads(folder.run("right", "--corpus", "text.jsonl", "--json", "--tokens", "100").stdout)["fold"]
    assert 100 <= fold["rows"] < 148


def test_repair_writes_the_right_fold(folder: Folder, tmp_path: Path) -> None:
    result = folder.run("wrong", "--corpus", "text.jsonl", "--scale", folder.scale, "--repair", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert f"Wrote '{tmp_path / 'out'}', mended by {folder.scale:.4g} (as given)." in result.stderr
    found, right = Checkpoint.load(tmp_path / "out"), Checkpoint.load(folder.path / "right")
    for name, tensor in right.smixae.weights._asdict().items():
        torch.testing.assert_close(getattr(found.smixae.weights, name), tensor, rtol=1e-5, atol=0)
    assert found.smixae.threshold == pytest.approx(right.smixae.threshold, rel=1e-5)
    assert found.metadata["atlas_repair"]["scale"] == folder.scale
    assert found.metadata["model_name"] == right.metadata["model_name"]
    again = folder.run(tmp_path / "out", "--corpus", "text.jsonl")
    assert "Looks right" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("wrong", "--repair", "out"), "--repair says nothing without text", id="repair without a corpus"),
        pytest.param(
            ("wrong", "--scale", 1, "--dtype", "float32"), "--scale and --dtype say nothing without text", id="others without one"
        ),
        pytest.param(("wrong", "--corpus", " "), "--corpus is empty", id="an empty corpus"),
        pytest.param(("wrong", "--corpus", "none.txt"), "none.txt", id="no such corpus"),
        pytest.param(("wrong", "--corpus", "text.jsonl", "--repair", "wrong"), "is the checkpoint itself", id="onto itself"),
        pytest.param(("wrong", "--corpus", "text.jsonl", "--repair", "right"), "not an empty folder", id="onto another"),
        pytest.param(("right", "--corpus", "text.jsonl", "--repair", "out"), "Looks right", id="what is right"),
        pytest.param(("bad", "--corpus", "text.jsonl", "--repair", "out"), "no known mend helps", id="what is beyond help"),
        pytest.param(("nameless", "--corpus", "text.jsonl"), "does not name its model", id="a model that is not named"),
        pytest.param(("a.duckdb", "--corpus", "text.jsonl"), "is a file. Give the folder", id="an atlas"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(arguments: tuple[object, ...], message: str, folder: Folder) -> None:
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    result = folder.run(*arguments)

    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.exit_code == 1 and len(errors) == 1 and message in errors[0]
    assert result.stderr.rstrip().endswith(errors[0])
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    assert not Path("out").exists()
