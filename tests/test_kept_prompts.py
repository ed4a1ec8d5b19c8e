"""Prompts outlive the atlas that they were added to, where the next one is of the same dictionary, hook and model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from atlas.assemble import assemble
from atlas.prompts import TABLES, Added, add_prompts, prompt_count
from atlas.stages import Column, Stage
from atlas.store import Store
from atlas.trace import Prompt
from pipelines.cli import main
from test_assemble import INPUTS, staged, tasks

DICTIONARY = {"dictionary": {"sha256": "a" * 64}, "model": {"hook": "h.1"}}
PROMPT = Prompt(
    "the atlas", [5, 6], [" the", " atlas"], [0, 0], [False, False], np.array([3]), np.array([[0.7, 0.1]], np.float32)
)


def work_of(folder: Path, subject: dict[str, Any]) -> Path:
    """A work folder whose harvest says what it is of."""
    found: dict[str, Column] = tasks("corpus", "docs")
    staged(folder)
    Stage(folder, "harvest", INPUTS).finish({"tasks": found}, {"corpus": {"name": "docs"}, **subject})
    return folder


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with Store(path) as store:
        return {name: store.table(name).rows() for name in TABLES}


def said(work: Path) -> list[str]:
    result = CliRunner().invoke(main, ["assemble", "--work", str(work)])
    assert (result.exit_code, result.stdout) == (0, f"{work / 'atlas.duckdb'}\n"), result.stderr
    return result.stderr.splitlines()


def test_an_atlas_assembled_anew_keeps_its_prompts_and_says_so(tmp_path: Path) -> None:
    path = assemble(work_of(tmp_path, DICTIONARY))
    assert prompt_count(path) == 0 and said(tmp_path) == []
    assert add_prompts(path, [PROMPT, PROMPT], DICTIONARY) == Added(1, 1, 0)
    before = rows(path)
    assert before["prompts"] == [(0, "the atlas")] and len(before["prompt_tokens"]) == 2 and len(before["prompt_norms"]) == 1

    assert said(tmp_path) == ["Prompts of the earlier atlas: 1, kept"]
    assert rows(path) == before
    assert add_prompts(path, [PROMPT], DICTIONARY) == Added(0, 1, 0)
    other = PROMPT._replace(text="atlas the", token_ids=[6, 5])
    assert add_prompts(path, [other, PROMPT], DICTIONARY, forget=True) == Added(2, 0, 1)
    assert rows(path)["prompts"] == [(0, "atlas the"), (1, "the atlas")]


@pytest.mark.parametrize(
    "subject", [{"dictionary": {"sha256": "b" * 64}}, {"model": {"hook": "h.2"}}], ids=["dictionary", "hook"]
)
def test_prompts_of_another_subject_are_left_out_and_that_is_said(subject: dict[str, Any], tmp_path: Path) -> None:
    add_prompts(assemble(work_of(tmp_path, DICTIONARY)), [PROMPT], DICTIONARY)
    work_of(tmp_path, DICTIONARY | subject)

    assert said(tmp_path) == ["Prompts of the earlier atlas: 1, left out: they are of another dictionary or model"]
    assert prompt_count(tmp_path / "atlas.duckdb") == 0


def test_what_is_no_atlas_is_replaced(tmp_path: Path) -> None:
    path = work_of(tmp_path, DICTIONARY) / "atlas.duckdb"
    path.write_bytes(b"half an atlas")

    assert said(tmp_path) == ["The earlier atlas could not be read: prompts that were added to it are gone."]
    assert prompt_count(path) == 0
