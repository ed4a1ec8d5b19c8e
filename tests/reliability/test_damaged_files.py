"""A damaged file is refused by name, or made anew, or its damage means nothing: no other rows, and no traceback."""

from __future__ import annotations

from pathlib import Path

from damage import GROUPS, outcomes
from harness import Reference


def test_a_damaged_file_of_every_kind_is_refused_by_name_or_gives_the_same_rows_and_bytes(
    wanted: Reference, tmp_path: Path
) -> None:
    done = list(outcomes(wanted, len(GROUPS), seed=0, folder=tmp_path))

    assert [one.details for one in done if not one.is_good] == []
