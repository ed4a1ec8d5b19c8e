"""A disk that is full or read-only is named in one line; nothing is lost, and with room the next run gives the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from disk import COMMANDS, Full, is_one_line, on_small_disk, outcomes, small_disk, with_expert
from harness import Reference, files, run


@pytest.fixture
def mountable(tmp_path: Path) -> None:
    """Skip where no small disk can be had."""
    try:
        with small_disk(tmp_path / "tried"):
            pass
    except PermissionError as error:
        pytest.skip(f"needs a disk of its own: {error}")


@pytest.mark.usefixtures("mountable")
def test_every_command_that_finds_the_disk_full_says_so_and_loses_nothing(wanted: Reference, tmp_path: Path) -> None:
    done = list(outcomes(wanted, len(COMMANDS), seed=0, folder=tmp_path / "full"))

    assert [one.details for one in done if not one.is_good] == []
    assert sum(one.named is True for one in done) > len(COMMANDS) // 2


@pytest.mark.parametrize("command", ["train", "harvest", "assemble", "bake"])
def test_a_file_that_may_not_grow_is_named_and_nothing_is_lost(command: str, wanted: Reference, tmp_path: Path) -> None:
    outcome = Full(command, room=1000, by_limit=True).done(wanted, tmp_path / "limited")

    assert outcome.named and outcome.is_good, outcome.details


@pytest.mark.usefixtures("mountable")
def test_every_command_on_a_read_only_disk_says_so_in_one_line(wanted: Reference, tmp_path: Path) -> None:
    wrong = []
    for number, command in enumerate(COMMANDS):
        with on_small_disk(wanted, command, tmp_path / str(number)) as disk:
            before = files(disk.folder)
            disk.protect(True)
            ended = run(tmp_path / str(number), *with_expert(command, wanted))
            disk.protect(False)
            if not is_one_line(ended, "Read-only file system") or files(disk.folder) != before:
                wrong.append((command, ended))

    assert wrong == []
