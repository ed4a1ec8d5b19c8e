"""A synthetic atlas and its site, which tests copy before they damage them."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.bake import BakeConfig, bake
from synthetic import Size, write_synthetic


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of two corpora, with every labelled task and prompts."""
    return write_synthetic(tmp_path_factory.mktemp("sound") / "atlas.duckdb", size=Size(experts=24, corpora=2, more_tasks=True))


@pytest.fixture(scope="session")
def sound_site(sound: Path) -> Path:
    """Its site."""
    return bake(sound, sound.parent / "site", BakeConfig(title="A <title>")).folder
