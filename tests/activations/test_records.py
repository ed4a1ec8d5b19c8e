"""Files of every kind hold the same records however they are packed, and are read no further than they are asked for."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from atlas.activations import records as records_module
from atlas.activations.records import TokenIds, file_records
from atlas.errors import CorpusError

TEXTS = ["One small document.", "A second one,\n\nwith a blank line; ünïcode, too.", "Third."]
IDS = [[5, 6, 7], [], [2**31 - 1, 0]]


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


PACKED = {"": lambda content: content, ".gz": gzip.compress, ".zst": zstd}


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def listed(rows: list[Any]) -> bytes:
    return json.dumps(rows).encode()


def table(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    """Write a .parquet."""
    parquet.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def found(path: Path, content: bytes) -> list[str | TokenIds]:
    path.write_bytes(content)
    return list(file_records(path))


# Packing and columns


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".txt", "\n\n\n".join(TEXTS).encode()),
        (".jsonl", lines([{"id": 1, "text": text} for text in TEXTS])),
        (".json", listed([{"text": text, "input_ids": None} for text in TEXTS])),
    ],
)
def test_packing_changes_no_record(ending: str, content: bytes, packing: str, tmp_path: Path) -> None:
    assert found(tmp_path / f"some.text{ending}{packing}", PACKED[packing](content)) == TEXTS


def test_file_packed_in_several_frames_is_read_whole(tmp_path: Path) -> None:
    frames = zstd(lines(TEXTS[:1])) + zstd(lines(TEXTS[1:]))

    assert found(tmp_path / "a.jsonl.zst", frames) == TEXTS


@pytest.mark.parametrize("column", ["input_ids", "tokens"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_token_ids_are_read_with_their_place(kind: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / f"ids.{kind}"
    rows = [{"attention_mask": [1], column: ids} for ids in IDS]
    if kind == "parquet":
        table(path, rows)
    else:
        path.write_bytes((lines if kind == "jsonl" else listed)(rows))

    record = "Line" if kind == "jsonl" else "Record"
    assert list(file_records(path)) == [
        TokenIds(tuple(ids), f"{record} {number} of '{path}'") for number, ids in enumerate(IDS, start=1)
    ]


def test_text_comes_before_token_ids_and_input_ids_before_tokens(tmp_path: Path) -> None:
    rows = [{"tokens": [1], "input_ids": [2], "text": "three"}, {"tokens": [1], "input_ids": [2]}]

    text, ids = found(tmp_path / "a.jsonl", lines(rows))

    assert text == "three" and ids == TokenIds((2,), f"Line 2 of '{tmp_path / 'a.jsonl'}'")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "has a column input_ids that holds null, not a list of token ids"),
        ("text", "has a column input_ids that holds str, not a list of token ids"),
        ([1, -1], "has -1 at position 1 of input_ids; a token id is an integer from 0"),
        ([1, 2, 2**31], "has 2147483648 at position 2 of input_ids; a"),
        ([1.0], r"has 1\.0 at position 0 of input_ids; a"),
        ([True], "has True at position 0 of input_ids; a"),
        (["the", "atlas"], "has 'the' at position 0 of input_ids; a"),
        ([[1]], r"has \[1\] at position 0 of input_ids; a"),
    ],
)
def test_what_is_no_token_id_is_refused_with_its_record_and_value(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"^Line 2 of '.*a\.jsonl' {message}"):
        found(tmp_path / "a.jsonl", lines([{"input_ids": [1]}, {"input_ids": value}]))


# Reading as it is asked for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property share."""
    return tmp_path_factory.mktemp("records")


@given(
    st.lists(
        st.one_of(
            st.text(st.sampled_from('aé🙂"\\[]{},: \n'), max_size=9), st.builds(lambda t: {"a": [1, None], "text": t}, st.text())
        ),
        max_size=6,
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(1, 9),
)
def test_list_is_read_in_pieces_as_it_is_read_whole(
    folder: Path, rows: list[Any], indent: int | None, escaped: bool, piece: int
) -> None:
    content = json.dumps(rows, indent=indent, ensure_ascii=escaped) + "\n "
    path = folder / "a.json"
    path.write_bytes(content.encode("utf-8", "replace"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "_JSON_BYTES", piece)
        in_pieces = list(file_records(path))

    assert in_pieces == [row if isinstance(row, str) else row["text"] for row in json.loads(path.read_text("utf-8"))]


@given(st.lists(st.sampled_from(["\n", "\n\n", "\r\n", " ", "a", "b\n", "é", "\x1c", "\r"]), max_size=30).map("".join))
def test_blocks_are_those_of_the_text_split_whole(folder: Path, text: str) -> None:
    path = folder / "a.txt"
    path.write_bytes(text.encode())

    blocks = list(file_records(path))

    assert blocks == [block for block in text.replace("\r\n", "\n").split("\n\n\n") if block.strip()]


def grown(kind: str, folder: Path, n: int) -> Path:
    """A file of `n` records of some 400 characters that repeat little, and a bad one at the end."""
    rng = random.Random(0)
    texts = [f"{rng.getrandbits(1600):x}" for _ in range(n)]
    path = folder / f"{n}.{kind}"
    if kind == "parquet":
        return table(path, [{"text": text} for text in [*texts, None]])
    ending, packing = f".{kind.split('.')[0]}", path.suffix if path.suffix in PACKED else ""
    content = {".txt": "\n\n\n".join(texts).encode() + b"\n\xff", ".jsonl": lines([*texts, 3]), ".json": listed([*texts, 3])}
    path.write_bytes(PACKED[packing](content[ending]))
    return path


KINDS = ("txt", "json", "jsonl", "parquet", "jsonl.gz", "json.zst", "txt.zst")


@pytest.mark.parametrize("kind", KINDS)
def test_first_record_comes_before_the_rest_is_read(kind: str, tmp_path: Path) -> None:
    records = file_records(grown(kind, tmp_path, 2000))

    assert len(str(next(records))) == pytest.approx(400, abs=10)
    with pytest.raises(CorpusError, match=rf"\d+ of '.*2000\.{kind}'"):
        list(records)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_file(kind: str, tmp_path: Path) -> None:
    def peak(path: Path) -> int:
        """Most bytes held while it is read, of Python's and of Arrow's."""
        arrow, before = 0, pa.total_allocated_bytes()
        tracemalloc.start()
        try:
            with pytest.raises(CorpusError):
                for _ in file_records(path):
                    arrow = max(arrow, pa.total_allocated_bytes() - before)
            return tracemalloc.get_traced_memory()[1] + arrow
        finally:
            tracemalloc.stop()

    peak(grown(kind, tmp_path, 10))  # what is imported and kept at the first use is not the file's
    small, large = grown(kind, tmp_path, 4000), grown(kind, tmp_path, 8000)

    assert large.stat().st_size - small.stat().st_size > 750_000
    assert peak(large) - peak(small) < 150_000


# What cannot be read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("a.jsonl.zst", b"not packed", r"a\.jsonl\.zst' is no whole zstd file \(.*Unknown frame", id="not zstd"),
        pytest.param(
            "a.txt.zst", zstd(b"text" * 99)[:-3], r"' is no whole zstd file \(Truncated compressed", id="truncated zstd"
        ),
        pytest.param("a.parquet", b"junk", r"a\.parquet' cannot be read as \.parquet: Parquet file size is 4", id="no parquet"),
        pytest.param("a.parquet", b"PAR1" + bytes(50), r"a\.parquet' cannot be read as \.parquet: ", id="bytes like parquet"),
        pytest.param("a.parquet.gz", b"", r"a\.parquet\.gz' is a packed \.parquet.*; unpack it\.$", id="packed parquet"),
    ],
)
def test_broken_file_is_refused_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=message) as refused:
        found(tmp_path / name, content)

    assert "\n" not in str(refused.value)


def test_parquet_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", [{"text": f"{i} text"} for i in range(5000)], compression="zstd", use_dictionary=False)
    stored = bytearray(path.read_bytes())
    stored[2000:2400] = bytes(400)

    with pytest.raises(CorpusError, match=r"a\.parquet' cannot be read as \.parquet: "):
        found(path, bytes(stored))


@pytest.mark.parametrize("ending", [".txt.zst", ".jsonl", ".parquet", ".json.gz"])
def test_file_that_is_gone_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"gone{ending}' cannot be read"):
        list(file_records(tmp_path / f"gone{ending}"))


def test_parquet_without_a_column_of_text_says_what_it_has(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", [{"body": "text", "id": 1}])

    with pytest.raises(CorpusError, match=r"^'.*a\.parquet' has no column text, input_ids or tokens; it has body, id\.$"):
        list(file_records(path))


@pytest.mark.parametrize(
    "bad", [b"half \xff a byte", "half \ud800 a pair".encode("utf-8", "surrogatepass")], ids=["byte", "pair"]
)
def test_parquet_that_holds_bytes_that_are_no_text_is_refused_with_its_record(bad: bytes, tmp_path: Path) -> None:
    # What writes the file need not check; nor does what reads it, until the text is asked for.
    buffers = pa.array([b"good", b"", bad], pa.binary()).buffers()
    column = pa.Array.from_buffers(pa.string(), 3, buffers)
    parquet.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    records = file_records(tmp_path / "a.parquet")

    assert [next(records), next(records)] == ["good", ""]
    with pytest.raises(CorpusError, match=r"^Record 3 of '.*a\.parquet' is not text in UTF-8: invalid .* byte at byte 5\.$"):
        next(records)


def test_row_groups_are_read_in_order(tmp_path: Path) -> None:
    texts = [f"document {i}" for i in range(1000)]
    path = table(tmp_path / "a.parquet", [{"id": i, "text": text} for i, text in enumerate(texts)], row_group_size=300)

    assert parquet.ParquetFile(path).num_row_groups == 4
    assert list(file_records(path)) == texts
