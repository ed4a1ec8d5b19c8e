"""The schema that both sides of the door agree on."""

from __future__ import annotations

from importlib.resources import files

SCHEMA_VERSION = 1
"""Raised when schema.sql changes so that an older reader or an older file would be misread."""


def schema() -> str:
    """Return the statements that make an empty atlas."""
    return files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
