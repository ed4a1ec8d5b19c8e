"""A small file that unpacks to more than memory holds is refused as soon as that is seen."""

from __future__ import annotations

import gzip
import json
import tracemalloc
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
    monkeypatch.setattr(records, "LARGEST_JSON", BOUND)


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


NESTED = b"[" * 500 + b"]" * 500


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_a_record_in_json_takes_no_more_than_fifty_times_its_bound(ending: str, tmp_path: Path) -> None:
    lists = b"[" + b",".join([NESTED] * (BOUND // 1001 - 1)) + b"]"
    fits, too_large = (b'{"text": "a", "x": ' + part + b"}" for part in (lists, b"[" + lists + b"," + lists + b"]"))

    def read(raw: bytes) -> int:
        content = b"[" + raw + b"]" if ending == ".json" else raw
        path = packed(tmp_path / f"text{ending}.gz", content)
        tracemalloc.start()
        try:
            assert list(file_records(path)) == ["a"]
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    assert read(fits) < 64 * BOUND
    with pytest.raises(CorpusError, match="has more than 1 MB"):
        read(too_large)
