"""A data set of the hub is read from its own files only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest
from datasets import Dataset, load_dataset_builder
from datasets.packaged_modules.csv.csv import Csv
from pyarrow import parquet

from atlas.activations.corpus import load_corpus
from atlas.activations.hub import streamed
from atlas.errors import CorpusError, TaskError
from atlas.probe.tasks.table import hub_table

OWN = "hf://datasets/us/days@0123456789abcdef0123456789abcdef01234567/data.csv"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the card of `us/days` names as its files."""
    found = [OWN]

    class Builder(Csv):
        hash = "0123"

        def __init__(self) -> None:
            self.config = SimpleNamespace(data_files={"train": found})

        def as_streaming_dataset(self, split: str | None = None, base_path: str | None = None) -> Any:
            return Dataset.from_list([{"text": split}])

    monkeypatch.setattr("datasets.load_dataset_builder", lambda *_, **__: Builder())
    return found


def test_a_data_sets_own_files_are_read(files: list[str]) -> None:
    assert list(streamed("us/days", None, "train")) == [{"text": "train"}]


@pytest.mark.parametrize(
    "file", ["/etc/passwd", "secret.csv", "https://example.org/x.csv", "hf://datasets/us/days-of-others@main/x.csv"]
)
def test_a_data_set_that_names_other_files_is_refused(file: str, files: list[str]) -> None:
    files.append(file)

    with pytest.raises(CorpusError, match=rf"'us/days' cannot be loaded: .* it names the file '{file}', which is not its own$"):
        load_corpus("us/days")
    with pytest.raises(TaskError, match=rf"it names the file '{file}', which is not its own\.$"):
        hub_table("us/days")


def test_the_library_itself_would_read_what_a_card_names(tmp_path: Path) -> None:
    from datasets.data_files import resolve_pattern

    (tmp_path / "secret.csv").touch()

    assert resolve_pattern(str(tmp_path / "secret.csv"), "hf://datasets/us/days@main") == [str(tmp_path / "secret.csv")]


PICTURE = {"bytes": None, "path": "/etc/passwd"}
CARD = """---
dataset_info:
  features:
  - {name: text, dtype: string}
  - {name: label, dtype: {class_label: {names: {"0": a, "1": b}}}}
  - {name: ids, list: int32}
  - {name: picture, dtype: image}
  - {name: pictures, list: image}
  - {name: sound, dtype: audio}
---
"""


def local(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be the data set `us/days`, with its files where the hub would have them."""

    def builder(*_: Any, **__: Any) -> Any:
        found = load_dataset_builder(str(folder))
        files, found.config.data_files = found.config.data_files, {"train": [OWN]}
        streaming = found.as_streaming_dataset

        def read(split: str) -> Any:
            found.config.data_files = files
            return streaming(split=split)

        monkeypatch.setattr(found, "as_streaming_dataset", read)
        return found

    monkeypatch.setattr("datasets.load_dataset_builder", builder)


def test_no_file_that_a_row_names_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    columns = {
        "text": ["a text"],
        "label": pyarrow.array([1], pyarrow.int64()),
        "ids": pyarrow.array([[3, 4]], pyarrow.list_(pyarrow.int32())),
        "picture": pyarrow.array([PICTURE], picture),
        "pictures": pyarrow.array([[PICTURE]], pyarrow.list_(picture)),
        "sound": pyarrow.array([PICTURE | {"path": "/etc/passwd.pcm"}], picture),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    (tmp_path / "README.md").write_text(CARD)
    local(tmp_path, monkeypatch)

    assert list(streamed("us/days", None, "train")) == [{"text": "a text", "label": 1, "ids": [3, 4]}]
    assert hub_table("us/days").columns == {"text": ["a text"], "label": ["b"], "ids": [[3, 4]]}


def test_a_data_set_that_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picture.png").touch()
    local(tmp_path, monkeypatch)

    with pytest.raises(CorpusError, match="cannot be loaded: LeadsElsewhere: it is no table; those of .parquet"):
        load_corpus("us/days")
