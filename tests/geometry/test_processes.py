"""Processes that work is spread over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SLEEPERS = """
import os, sys, time

from atlas.geometry.processes import spread

def sleep(path):
    open(os.path.join(path, str(os.getpid())), "w").close()
    time.sleep(0.05)

if __name__ == "__main__":
    spread(sleep, [sys.argv[1]] * 10_000, 2, lambda done, of: None)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(met: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not met() and time.monotonic() < end:
        time.sleep(0.05)
    return met()


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "sleepers.py").write_text(SLEEPERS, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, tmp_path / "sleepers.py", tmp_path / "pids"], env=environment) as parent:
        try:
            assert until(lambda: len(os.listdir(tmp_path / "pids")) == 2)
            workers = [int(name) for name in os.listdir(tmp_path / "pids")]
        finally:
            parent.send_signal(signal.SIGKILL)
    assert until(lambda: not any(map(is_running, workers)), 20)
