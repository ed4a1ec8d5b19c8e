from __future__ import annotations

import pytest

from atlas.bake.definitions import definitions, measures_path


def test_a_term_is_defined_from_its_sentence_to_the_next_that_begins_with_one() -> None:
    found = definitions(
        "First. **Rate** is *this*, of a **source**. More of it. **Lift** is that. (`atlas/lift.py`, `more.py`)\n"
    )
    assert found["rate"] == {
        "title": "Rate",
        "html": "<p><strong>Rate</strong> is <em>this</em>, of a <strong>source</strong>. More of it.</p>",
    }
    assert found["source"]["html"] == found["rate"]["html"]
    assert found["lift"]["html"] == "<p><strong>Lift</strong> is that.</p>"
    assert "first" not in found


def test_a_row_of_a_table_and_an_item_of_a_list_define_their_first_words() -> None:
    found = definitions(
        "| statistic | definition | stands out if |\n|---|---|---|\n| `loop` | how *wide* | large |\n\n1. **ring**: a loop\n"
    )
    assert found == {
        "loop": {"title": "loop", "html": "<p>how <em>wide</em></p><p>Stands out if: large</p>"},
        "ring": {"title": "ring", "html": "<p><strong>ring</strong>: a loop</p>"},
    }


def test_a_paragraph_that_ends_in_a_colon_has_what_follows_along() -> None:
    classes = "**Classes**, the first:\n\n1. **ring**: [a](b.md) loop (`a.py`)\n2. *other*\n\n"
    found = definitions(classes + "**Statistics**:\n\n| s | t |\n|---|---|\n| a | b |\n")
    assert found["classes"]["html"].startswith("<p><strong>Classes</strong>, the first:</p><ol>")
    assert "a loop" in found["classes"]["html"] and found["classes"]["html"].endswith("<em>other</em></li>\n</ol>")
    assert found["ring"]["html"] == "<p><strong>ring</strong>: a loop</p>"
    assert "<td>b</td>" in found["statistics"]["html"] and "<a" not in str(found) and ".py" not in str(found)


def test_links_are_left_out_and_markup_is_text() -> None:
    found = definitions("**Null**: see [there](else.md), <script>alert(1)</script>\n")
    assert found["null"]["html"] == "<p><strong>Null</strong>: see there, &lt;script&gt;alert(1)&lt;/script&gt;</p>"


def test_a_term_that_is_defined_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'lift' twice"):
        definitions("**Lift** here.\n\n**lift** there.\n")


def test_measures_defines_each_term_once() -> None:
    found = definitions(measures_path().read_text(encoding="utf-8"))
    assert {"lift", "lift of a token", "importance", "all-row r²", "chance", "loop", "ring", "shades"} <= found.keys()
    assert all(one["html"].startswith("<p>") and not one["html"].endswith(":</p>") for one in found.values())
