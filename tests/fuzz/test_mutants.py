"""What is spoiled is taken as the other input that it is, or refused by name in one line: never a traceback, a crash or a hang.

`tools/fuzz.py` does the same by the thousand, and reads the folder of a case again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fuzzing import SHARES, Worker, cases

N_CASES = 500
SEED = 0

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One warm process for all kinds."""
    with closing(Worker(tmp_path_factory.mktemp("fuzz"))) as started:
        yield started


@pytest.mark.parametrize("kind", SHARES)
def test_a_spoiled_input_is_taken_or_refused_by_name(kind: str, worker: Worker) -> None:
    outcomes = set()
    for _, seed in cases({kind: SHARES[kind]}, N_CASES, SEED):
        outcome, why = worker.ask(kind, seed, worker.new_case(kind, seed))
        assert outcome != "fault", f"{kind} {seed}: {why}"
        outcomes.add(outcome)
    # Spoiling does not always spoil, and does not never.
    assert outcomes >= {"refused"}


def test_a_crash_and_a_traceback_are_faults_of_their_case(worker: Worker, tmp_path: Path) -> None:
    """The harness itself: what Atlas cannot read must not pass."""
    spoiled = tmp_path / "case"
    spoiled.mkdir()

    outcome, why = worker.ask("task", "none", spoiled)

    assert outcome == "fault" and "FileNotFoundError" in why
    assert worker.ask("about", "0-0", worker.new_case("about", "0-0"))[0] in ("right", "refused")
