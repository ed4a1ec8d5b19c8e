"""A refusal is one line that a reader can take in, whatever the values are that it names."""

from __future__ import annotations

from atlas.errors import LONGEST, AtlasError


def test_a_refusal_is_one_line_whatever_it_names() -> None:
    assert str(AtlasError("'a\nb' and 'c\u2028d' cannot\r\nbe read.")) == "'a b' and 'c d' cannot be read."


def test_a_refusal_that_names_something_endless_keeps_both_its_ends() -> None:
    said = str(AtlasError(f"'{'x' * 100_000}' cannot be read. Give another."))

    assert len(said) <= LONGEST + 3 and said.startswith("'xxx") and said.endswith("cannot be read. Give another.")
