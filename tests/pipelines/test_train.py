"""`atlas train`: recipes, what they leave open to be changed, and where the log may be sent."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tiny
from atlas.dictionary.training import TrainingConfig
from atlas.dictionary.training_log import read_log
from atlas.train import TrainConfig
from pipelines import train
from pipelines.cli import main


@pytest.fixture
def folder(models: dict[str, Path], corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in."""
    monkeypatch.chdir(tmp_path)
    Path("bert").symlink_to(models["bert"])
    Path("text.jsonl").symlink_to(corpus_file)
    return tmp_path


def run(*arguments: object) -> Result:
    common = ("train", "--model", "bert", "--hook", tiny.HOOKS["bert"], "--corpus", "text.jsonl", "--window-tokens", "48")
    return CliRunner().invoke(main, [*common, *map(str, arguments)])


SMALL = ("--experts", 8, "--width", 4, "--k", 2, "--batch", 64, "--steps", 6, "--log-every", 2)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What the command would train with."""
    found: list[TrainConfig] = []

    def instead(_model: str, _hook: str, _corpus: str, config: TrainConfig, *_: Any) -> Path:
        found.append(config)
        return Path("checkpoint")

    monkeypatch.setattr(train, "run", instead)
    return found


def test_default_recipe_is_ours(folder: Path, configured: list[TrainConfig]) -> None:
    assert run().exit_code == 0
    assert configured[0].training == TrainingConfig()


def test_reference_recipe_is_that_of_the_published_dictionaries(folder: Path, configured: list[TrainConfig]) -> None:
    assert run("--recipe", "reference").exit_code == 0

    found = configured[0].training
    assert (found.n_experts, found.d_expert, found.d_code, found.k) == (2048, 16, 3, 64)
    assert (found.steps, found.batch, found.learning_rate, found.clip_norm) == (61_035, 8192, 5e-4, 1.0)
    assert (found.warmup_steps, found.decay_share, found.seed) == (500, 0.2, 42)
    assert (found.auxiliary, found.aux_coefficient, found.dead_after, found.threshold_rate) == ("shortfall", 9e-6, 1000, 0.1)
    assert (found.start, found.decoder_init_norm, found.rescale_by_decoder_norm) == ("reference", 0.1, True)


def test_options_change_the_recipe(folder: Path, configured: list[TrainConfig]) -> None:
    assert run("--recipe", "reference", "--k", 32, "--seed", 0, "--auxiliary", "residual").exit_code == 0

    found = configured[0].training
    assert (found.k, found.seed, found.auxiliary, found.n_experts) == (32, 0, "residual", 2048)


def test_buffer_smaller_than_a_batch_is_refused(folder: Path) -> None:
    result = run(*SMALL, "--buffer-rows", 63)

    assert result.exit_code == 1
    assert result.stderr == "Error: The buffer holds 63 rows, fewer than one batch of 64; give a larger --buffer-rows.\n"


class Sent:
    """What stands in for Weights & Biases."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.ended = 0

    def init(self, **about: Any) -> Any:
        self.begun.append(about)
        return SimpleNamespace(log=lambda metrics, step: self.logged.append((step, metrics)), finish=self.finish)

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setitem(sys.modules, "wandb", sent)
    return sent


def test_log_is_sent_where_that_is_asked_for(folder: Path, wandb: Sent) -> None:
    result = run(*SMALL, "--wandb", "rings")

    assert result.exit_code == 0, result.stderr
    assert wandb.begun[0]["project"] == "rings" and wandb.begun[0]["config"]["training"]["k"] == 2
    log = read_log(folder / "work" / "train" / "checkpoint")
    assert [{"step": step, **metrics} for step, metrics in wandb.logged] == log != []
    assert wandb.ended == 1


def test_nothing_is_sent_unasked(folder: Path, wandb: Sent) -> None:
    assert run(*SMALL).exit_code == 0
    assert wandb.begun == wandb.logged == []


def test_missing_extra_is_named_before_anything_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)

    result = run(*SMALL, "--wandb", "rings")

    assert result.exit_code == 1
    assert result.stderr == "Error: This command needs wandb. Install the extra that has it: pip install 'expert-atlas[wandb]'\n"
    assert not Path("work").exists()
