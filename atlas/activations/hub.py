"""Data sets of the Hugging Face hub, row by row."""

from __future__ import annotations

from typing import Any


class LeadsElsewhere(Exception):  # noqa: N818 - it says where to, and is told by whoever asked for the data set
    """A data set names files that are not its own, or holds files rather than rows."""


def commit(name: str, config: str | None, revision: str | None = None) -> str:
    """Return the commit that a data set's revision is of now; that of None is the newest.

    Raises:
        LeadsElsewhere: it names files that are not its own.
        Exception: as `streamed`.
    """
    # Of a data set on the hub its hash is the commit.
    return str(_builder(name, config, revision).hash)


def streamed(name: str, config: str | None, split: str, revision: str | None = None) -> Any:
    """Return the rows of a split, read as they are asked for: their columns of texts, numbers, and lists and groups of them.

    Raises:
        LeadsElsewhere: the data set names files that are not its own, or is no table.
        Exception: what `datasets` raises, a dozen unrelated classes, where there is none of the name, or no network.
    """
    rows = _builder(name, config, revision).as_streaming_dataset(split=split)
    # A picture or a sound may be a path in a row, of this machine too, and would be opened.
    plain = [column for column, feature in (rows.features or {}).items() if _is_plain(feature)]
    return rows if len(plain) == len(rows.features or {}) else rows.select_columns(plain)


def _is_plain(feature: Any) -> bool:
    """Return whether values of a feature are all that they are: no other file is opened to read them."""
    from datasets import ClassLabel, LargeList, List, Translation, Value

    if isinstance(feature, List | LargeList):
        return _is_plain(feature.feature)
    if isinstance(feature, dict):
        return all(_is_plain(part) for part in feature.values())
    return isinstance(feature, Value | ClassLabel | Translation)


def _builder(name: str, config: str | None, revision: str | None) -> Any:
    """Return what reads a data set of the hub that is a table, and names its own files only.

    A data set's card may name any path or address as its files, and the library would read it: of this machine too.
    """
    from datasets import load_dataset_builder
    from datasets.packaged_modules.arrow.arrow import Arrow
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.json.json import Json
    from datasets.packaged_modules.parquet.parquet import Parquet
    from datasets.packaged_modules.text.text import Text

    builder = load_dataset_builder(name, config, revision=revision)
    if not isinstance(builder, Arrow | Csv | Json | Parquet | Text):
        raise LeadsElsewhere("it is no table; those of .parquet, .arrow, .csv, .json, .jsonl and .txt files are read")
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not str(file).startswith(f"hf://datasets/{name}@"):
                raise LeadsElsewhere(f"it names the file '{file}', which is not its own")
    return builder
