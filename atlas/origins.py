"""The files that an atlas is made from: what each is called, and the hash of its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from atlas.errors import OriginMissing

WEIGHTS = (".safetensors",)
CONFIG = "config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt"),
    *("merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
"""What transformers may make a tokenizer from."""


def hashed(paths: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of each file, by its name without the way to it.

    Raises:
        OriginMissing: one cannot be read any more.
    """
    found = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                found[_name(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise OriginMissing(
                f"'{path}' cannot be read any more: {error.strerror}. Bring it back, then run the same command again."
            ) from error
    return found


def _name(path: Path) -> str:
    """Return a file's name as UTF-8 has it, whatever this process takes names for; bytes that are none are spelled out."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def shown_name(source: str) -> str:
    """Return what readers know a model by: the hub's id, or a local folder's name without the way to it."""
    return os.path.basename(os.path.abspath(source)) if os.path.isdir(source) else source


def model_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of the weights, the configuration and the tokenizer's files in a model's folder, by name."""
    known = (CONFIG, *TOKENIZER_FILES)
    return hashed(sorted(path for path in folder.iterdir() if path.name in known or path.suffix in WEIGHTS))
