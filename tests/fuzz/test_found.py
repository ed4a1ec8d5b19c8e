"""What spoiling has found, each as an example of its own: all of it ended in a traceback once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from atlas.bake.folder import RECORD, Record
from atlas.dictionary import Checkpoint
from atlas.dictionary.diagnosis import stated_k
from atlas.dictionary.training_log import TRAINING_LOG_FILE, read_log
from atlas.errors import CheckpointError, SiteMissing
from atlas.publish.site import PAGE, Site, payload

NESTED = "[" * 200_000
"""Beyond what Python reads; it says so by a RecursionError."""
HUGE = "1" + "0" * 400
"""A whole number that no float holds."""


@pytest.mark.parametrize("line", [NESTED, '{"step": Infinity}', '{"step": 1, "loss": ' + HUGE + "}", "\ufffd"])
def test_a_training_log_that_cannot_be_read_is_refused_by_line(line: str, tmp_path: Path) -> None:
    (tmp_path / TRAINING_LOG_FILE).write_bytes(line.encode().replace("\ufffd".encode(), b"\xff"))

    with pytest.raises(CheckpointError, match="^Line 1 of .* is not a logged step"):
        read_log(tmp_path)


@pytest.mark.parametrize("text", ["", NESTED])
def test_a_training_configuration_that_cannot_be_read_is_refused_by_name(text: str, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    (folder / "runner_cfg.json").write_text(text)

    with pytest.raises(CheckpointError, match=r"runner_cfg\.json' is not JSON"):
        stated_k(Checkpoint.load(folder))


def test_a_stated_number_of_firings_that_no_float_holds_is_none(tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    (folder / "runner_cfg.json").write_text(f'{{"k_experts": {HUGE}}}')

    assert stated_k(Checkpoint.load(folder)) is None


def test_a_factor_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    stored: dict[str, Any] = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(stored | {"normalize_activations": "expected_average_only_in"}))
    (folder / "activation_scaler.json").write_text(f'{{"scaling_factor": {HUGE}}}')

    with pytest.raises(CheckpointError, match="a positive number is needed"):
        Checkpoint.load(folder)


def test_a_record_of_a_site_that_is_nested_too_deep_is_none(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(NESTED)
    (tmp_path / PAGE).write_text("<!doctype html>")

    assert Record.read(tmp_path) is None
    with pytest.raises(SiteMissing, match="that can be read"):
        Site.open(tmp_path)


def test_a_payload_that_is_nested_too_deep_is_none() -> None:
    with pytest.raises(ValueError, match="nested"):
        payload(f'atlas.receive("atlas",{NESTED});\n'.encode())
