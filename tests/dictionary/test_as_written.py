"""A checkpoint that was written with the hashes of its files is refused when one of them is another."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import tiny
from atlas.checkpoints import SUMS_FILE
from atlas.dictionary import Checkpoint, save
from atlas.dictionary.as_written import seal
from atlas.errors import CheckpointError
from atlas.verify.work import verify_work

NAMES = ("cfg.json", "sae_weights.safetensors", "training_log.jsonl")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {"hook_name": "layers.1"})
    (folder / "training_log.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    seal(folder)
    return folder


def flip(path: Path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_a_checkpoint_as_it_was_written_is_read(sealed: Path) -> None:
    assert Checkpoint.load(sealed).metadata["hook_name"] == "layers.1"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_one_bit_that_is_another_is_named(name: str, sealed: Path) -> None:
    flip(sealed / name, -3)

    with pytest.raises(CheckpointError, match=f"{name}' is damaged .its content is not what was written.. Copy the checkpoint"):
        Checkpoint.load(sealed)


def test_a_hook_that_reads_well_and_is_another_is_refused(sealed: Path) -> None:
    config = sealed / "cfg.json"
    config.write_text(config.read_text("utf-8").replace("layers.1", "layers.0"), encoding="utf-8")

    with pytest.raises(CheckpointError, match="if you changed the file yourself, delete .*SHA256SUMS'"):
        Checkpoint.load(sealed)
    (sealed / SUMS_FILE).unlink()
    assert Checkpoint.load(sealed).metadata["hook_name"] == "layers.0"


@pytest.mark.parametrize("content", [b"", b"not a hash  cfg.json\n", b"\xff\n", b"0" * 64 + b"  cfg.json"])
def test_damaged_hashes_are_refused_too(content: bytes, sealed: Path) -> None:
    (sealed / SUMS_FILE).write_bytes(content)

    with pytest.raises(CheckpointError, match="(SHA256SUMS|cfg.json)' is damaged"):
        Checkpoint.load(sealed)


def test_a_dictionary_saved_over_a_sealed_one_is_not_called_damaged(sealed: Path) -> None:
    save(tiny.dictionary(seed=1), sealed, {})

    assert Checkpoint.load(sealed).smixae.n_experts == 12


def test_files_that_were_left_behind_are_not_missed(sealed: Path) -> None:
    (sealed / "training_log.jsonl").unlink()

    assert Checkpoint.load(sealed).smixae.n_experts == 12


def test_hashes_are_those_that_sha256sum_checks(sealed: Path) -> None:
    checked = subprocess.run(["sha256sum", "-c", SUMS_FILE], cwd=sealed, capture_output=True, text=True, check=True)

    assert checked.stdout.splitlines() == [f"{name}: OK" for name in NAMES]
    assert json.loads((sealed / "cfg.json").read_text("utf-8"))["architecture"] == "smixae"


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("", "SHA256SUMS: holds '', which is no hash of a file"),
        ("training_log.jsonl", "SHA256SUMS: does not list cfg.json"),
        ("cfg.json", "SHA256SUMS: does not list sae_weights.safetensors"),
        ("gone.json", "gone.json: is not there; it was written"),
    ],
)
def test_lines_and_files_that_are_missing_are_told_of(listed: str, said: str, sealed: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    folder = work / "train" / "checkpoint"
    folder.parent.mkdir(parents=True)
    sealed.rename(folder)
    sums = folder / SUMS_FILE
    lines = [*sums.read_text(encoding="utf-8").splitlines(keepends=True), f"{'0' * 64}  gone.json\n"]
    sums.write_text("".join(line for line in lines if listed and line.endswith(f"  {listed}\n")), encoding="utf-8")

    found = [str(fault) for check in verify_work(work, lambda _: None) for fault in check.faults]

    assert f"stage: train/checkpoint/{said}" in found
