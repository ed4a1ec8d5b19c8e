"""Data sets of the Hugging Face hub, row by row."""

from __future__ import annotations

from typing import Any


class LeadsElsewhere(Exception):  # noqa: N818 - it says where to, and is told by whoever asked for the data set
    """A data set names files that are not its own."""


def commit(name: str, config: str | None, revision: str | None = None) -> str:
    """Return the commit that a data set's revision is of now; that of None is the newest.

    Raises:
        LeadsElsewhere: it names files that are not its own.
        Exception: as `streamed`.
    """
    # Of a data set on the hub its hash is the commit.
    return str(_builder(name, config, revision).hash)


def streamed(name: str, config: str | None, split: str, revision: str | None = None) -> Any:
    """Return the rows of a split, read as they are asked for.

    Raises:
        LeadsElsewhere: the data set names files that are not its own.
        Exception: what `datasets` raises, a dozen unrelated classes, where there is none of the name, or no network.
    """
    return _builder(name, config, revision).as_streaming_dataset(split=split)


def _builder(name: str, config: str | None, revision: str | None) -> Any:
    """Return what reads a data set of the hub, which names its own files only.

    A data set's card may name any path or address as its files, and the library would read it: of this machine too.
    """
    from datasets import load_dataset_builder

    builder = load_dataset_builder(name, config, revision=revision)
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not str(file).startswith(f"hf://datasets/{name}@"):
                raise LeadsElsewhere(f"it names the file '{file}', which is not its own")
    return builder
