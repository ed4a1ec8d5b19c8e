"""Ctrl-C and SIGTERM end a command in one line, whatever it is at when they come."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pipelines.progress import Ended, Stopped, stoppable


class Deleted:
    """Is sent a signal when it is deleted."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # here the signal is heard


def ask(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Stopped), (signal.SIGTERM, Ended)])
def test_signal_ends_the_work_with_what_is_left_of_it(number: signal.Signals, kind: type[Stopped]) -> None:
    with pytest.raises(Stopped, match=r"^Stopped\. Nothing was written\.$") as stopped, stoppable("Nothing was written."):
        ask(number)
    assert type(stopped.value) is kind and stopped.value.exit_code == 128 + number


def test_what_a_library_makes_of_the_signal_is_the_same() -> None:
    with pytest.raises(Ended, match=r"^Stopped\.$"), stoppable():
        try:
            ask(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="Query interrupted"), stoppable():
        raise RuntimeError("Query interrupted")


def test_line_of_the_innermost_work_is_the_one_that_is_said() -> None:
    with pytest.raises(Ended, match=r"^Stopped\. Inside\.$"), stoppable("Outside."), stoppable("Inside."):
        ask(signal.SIGTERM)


def test_signal_that_comes_while_something_is_deleted_is_not_lost() -> None:
    with pytest.raises(Ended, match=r"^Stopped\.$"), stoppable():
        Deleted()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.001)


def test_signal_that_the_process_was_begun_to_ignore_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            ask(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
