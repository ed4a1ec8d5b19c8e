"""A small file that unpacks to more than memory holds is refused as soon as that is seen."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest

from atlas.activations import records
from atlas.activations.records import file_records
from atlas.errors import CorpusError, TaskError
from atlas.probe.tasks import table
from atlas.probe.tasks.source import read_source

BOUND = 1 << 20


@pytest.fixture(autouse=True)
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LARGEST_RECORD", BOUND)


def packed(path: Path, content: bytes) -> Path:
    """A file that is packed as its name says."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    elif path.suffix == ".zst":
        with pyarrow.output_stream(str(path), compression="zstd") as file:
            file.write(content)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("ending", "content", "where"),
    [
        (".txt", b"a" * 2 * BOUND, "Line 1 of "),
        (".txt", b"word\n" * BOUND, r"The document that ends at line \d+ of "),
        (".jsonl", json.dumps("a" * 2 * BOUND).encode(), "Line 1 of "),
        (".json", json.dumps(["short", "a" * 4 * BOUND]).encode(), "Record 2 of "),
        (".json", b" " * 8 * BOUND + b"[", ""),
    ],
)
def test_what_is_too_long_to_hold_is_refused_with_its_place(
    ending: str, content: bytes, where: str, packing: str, tmp_path: Path
) -> None:
    path = packed(tmp_path / f"text{ending}{packing}", content)

    if not where:  # what is skipped is not held
        with pytest.raises(CorpusError, match="is not JSON"):
            list(file_records(path))
        return
    with pytest.raises(CorpusError, match=rf"^{where}'.*' has more than 1 MB; cut it into shorter documents\.$"):
        list(file_records(path))


def test_documents_up_to_the_bound_are_read(tmp_path: Path) -> None:
    texts = ["a" * (BOUND - 3), "b" * (BOUND - 3)]

    assert list(file_records(packed(tmp_path / "text.txt.gz", "\n\n\n".join(texts).encode()))) == texts
    assert list(file_records(packed(tmp_path / "text.jsonl.gz", b"\n".join(json.dumps(t).encode() for t in texts)))) == texts


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv.zst", ".jsonl.gz", ".json.zst"])
def test_a_table_is_held_whole_and_bounded_as_a_whole(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LARGEST_TABLE", BOUND)
    path = packed(tmp_path / f"table{ending}", b"text,label\n" * BOUND)

    with pytest.raises(TaskError, match="unpacks to more than 1 MB; give fewer rows, or a .parquet"):
        read_source(str(path))
