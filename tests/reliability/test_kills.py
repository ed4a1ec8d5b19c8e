"""A command that is killed or stopped at any moment loses nothing, and run again gives what it gives without faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Reference, reference
from kills import outcomes

KILLS = 21


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The whole path without faults."""
    return reference(tmp_path_factory.mktemp("reference"))


def test_commands_killed_at_random_moments_lose_nothing_and_go_on_to_the_same_rows_and_bytes(
    wanted: Reference, tmp_path: Path
) -> None:
    done = list(outcomes(wanted, KILLS, seed=0, folder=tmp_path))

    assert [one.details for one in done if not one.is_good] == []
