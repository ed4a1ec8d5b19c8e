"""Data sets of the Hugging Face hub, row by row."""

from __future__ import annotations

from typing import Any


class LeadsElsewhere(Exception):  # noqa: N818 - it says where to, and is told by whoever asked for the data set
    """A data set names files that are not its own."""


def streamed(name: str, config: str | None, split: str, revision: str | None = None) -> Any:
    """Return the rows of a split, read as they are asked for.

    A data set's card may name any path or address as its files, and the library would read it: of this machine too.

    Raises:
        LeadsElsewhere: it does.
        Exception: what `datasets` raises, a dozen unrelated classes, where there is none of the name, or no network.
    """
    from datasets import load_dataset_builder

    builder = load_dataset_builder(name, config, revision=revision)
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not str(file).startswith(f"hf://datasets/{name}@"):
                raise LeadsElsewhere(f"it names the file '{file}', which is not its own")
    return builder.as_streaming_dataset(split=split)
