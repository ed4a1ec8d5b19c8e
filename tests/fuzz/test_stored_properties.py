"""What is stored comes back as it was, or is refused: tables in pieces, sealed files, CSV, and what a terminal is shown."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import DEEP, spoiled_bytes, spoiled_json, spoiled_safetensors

from atlas.errors import StageDamaged
from atlas.sealed import read_arrays, read_json, write_arrays, write_json
from atlas.stages import Ragged, stacked
from pipelines.printing import printable, write_csv

ANYTHING = st.text(st.characters(), max_size=12)
"""Half surrogate pairs and controls among it."""
SPOILT = 150
"""Files of each kind."""


@given(st.lists(st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=4), min_size=1, max_size=5))
def test_rows_of_any_length_are_the_same_in_one_piece_and_in_many(pieces: list[list[list[int]]]) -> None:
    def table(rows: list[list[int]]) -> dict[str, Any]:
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return {
            "tokens": Ragged(np.array([value for row in rows for value in row], np.int32), offsets),
            "n": np.array([len(row) for row in rows], np.int64),
            "name": [str(row) for row in rows],
        }

    whole, parts = table([row for rows in pieces for row in rows]), stacked([table(rows) for rows in pieces])

    assert parts["tokens"].values.tolist() == whole["tokens"].values.tolist()
    assert parts["tokens"].offsets.tolist() == whole["tokens"].offsets.tolist()
    assert parts["n"].tolist() == whole["n"].tolist() and parts["name"] == whole["name"]


def test_a_sealed_file_is_what_was_written_or_refused(tmp_path: Path) -> None:
    value = {"inputs": {"seed": 3, "model": "gpt2", "threshold": 0.25}, "found": [1, 2, {"a": None}], "text": "é\u2028"}
    arrays = {"tokens": np.arange(40, dtype=np.int32), "norm": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)}
    write_json(tmp_path / "done.json", value)
    write_arrays(tmp_path / "part.safetensors", arrays, {"about": "text"})
    sound = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = 0
    for seed in range(SPOILT):
        random = Random(seed)
        (tmp_path / "done.json").write_bytes(spoiled_json(random, sound["done.json"].decode()))
        (tmp_path / "part.safetensors").write_bytes(spoiled_safetensors(random, sound["part.safetensors"]))
        try:
            assert read_json(tmp_path / "done.json") == value
        except StageDamaged:
            refused += 1
        try:
            found = read_arrays(tmp_path / "part.safetensors")
            assert found.keys() == arrays.keys() and all((found[name] == arrays[name]).all() for name in arrays)
        except StageDamaged:
            refused += 1
    assert refused > SPOILT


def test_a_sealed_file_nested_beyond_what_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text("[" * 100 * DEEP)

    with pytest.raises(StageDamaged, match="damaged"):
        read_json(tmp_path / "done.json")


@given(st.integers(0, 2**32), st.binary(max_size=200))
def test_one_change_is_made_of_one_seed(seed: int, data: bytes) -> None:
    assert spoiled_bytes(Random(seed), data) == spoiled_bytes(Random(seed), data)


@given(ANYTHING)
def test_what_is_printed_moves_no_cursor_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable() and not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)
    assert printable(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@settings(max_examples=50)
@given(st.lists(st.tuples(ANYTHING, st.integers(), st.none() | st.floats(allow_nan=False)), max_size=5))
def test_rows_of_csv_are_read_again_without_anything_to_compute(rows: list[tuple[Any, ...]]) -> None:
    fields = ["token", "n", "share"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", written := io.StringIO())
        write_csv(fields, (dict(zip(fields, row, strict=True)) for row in rows))

    head, *read = csv.reader(io.StringIO(written.getvalue()))
    assert head == fields and len(read) == len(rows)
    for (token, n, share), row in zip(read, rows, strict=True):
        assert (int(n), float(share) if share else None) == row[1:]
        assert token.isprintable() and not token.startswith(("=", "+", "-", "@"))
        assert token.lstrip("'").replace(";'", ";").endswith(printable(row[0]).replace(";'", ";")[-1:])
