"""A data set of the hub is read from its own files only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atlas.activations.corpus import load_corpus
from atlas.activations.hub import streamed
from atlas.errors import CorpusError, TaskError
from atlas.probe.tasks.table import hub_table

OWN = "hf://datasets/us/days@0123456789abcdef0123456789abcdef01234567/data.csv"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the card of `us/days` names as its files."""
    found = [OWN]

    def builder(*_: Any, **__: Any) -> Any:
        config = SimpleNamespace(data_files={"train": found})
        return SimpleNamespace(config=config, hash="0123", as_streaming_dataset=lambda split: [{"text": split}])

    monkeypatch.setattr("datasets.load_dataset_builder", builder)
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
