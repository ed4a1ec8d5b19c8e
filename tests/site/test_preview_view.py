"""What the preview says of scores: of what was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from synthetic import synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


def test_the_preview_says_what_cannot_be_read_and_no_more(open_at: Open) -> None:
    scores = synthetic_tables()["scores"]
    # Expert 1 reads numbers, and nothing of months.
    rows = zip(scores["task"], scores["expert"], scores["testable"], scores["all_rows_low"], strict=True)
    readable = {(task, expert) for task, expert, testable, low in rows if testable and low > 0}
    assert (2, 1) in readable and (1, 1) not in readable
    preview = open_at("#/?at=1").get_by_role("complementary", name="Expert in sight")
    expect(preview.get_by_role("img", name=re.compile("^Numbers 0–99"))).to_be_visible()
    for asked in ("task=months", "hypothesis=months:0"):
        preview = open_at(f"#/?{asked}&at=1").get_by_role("complementary", name="Expert in sight")
        expect(preview).to_contain_text(re.compile(r"Months(, .*)? cannot be read from its code\."))
        expect(preview).not_to_contain_text("Nothing of the labelled tasks")
