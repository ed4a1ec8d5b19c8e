"""Builds in a row leave nothing in the process that made them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import atlas

ROOT = Path(atlas.__file__).parents[1]


def test_builds_in_a_row_in_one_process_hold_no_more_handles_threads_or_processes(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "tools" / "soak.py", "builds", tmp_path / "builds", "--count", "4"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    assert "4 of 4: Held(" in ended.stderr
