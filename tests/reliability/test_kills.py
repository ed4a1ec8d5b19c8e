"""A command that is killed or stopped at any moment loses nothing, and run again gives what it gives without faults."""

from __future__ import annotations

from pathlib import Path

from harness import Reference
from kills import outcomes

KILLS = 21


def test_commands_killed_at_random_moments_lose_nothing_and_go_on_to_the_same_rows_and_bytes(
    wanted: Reference, tmp_path: Path
) -> None:
    done = list(outcomes(wanted, KILLS, seed=0, folder=tmp_path))

    assert [one.details for one in done if not one.is_good] == []
