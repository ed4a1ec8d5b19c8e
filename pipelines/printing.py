"""How rows are printed on stdout: as a table for people, as CSV or as JSON for programs.

Texts of a corpus, a tokenizer or a file's name may hold whatever a terminal or a spreadsheet acts on; here they lose that.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Literal, TextIO, cast

import click

Format = Literal["table", "csv", "json"]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

format_option: Decorator = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)

WIDEST = 120
"""Columns of a terminal that a cell takes at most."""
MARKS = 4
"""Accents and vowel signs that one letter carries; more would run into the lines around."""
_INKLESS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What leaves no ink although Unicode calls it printable."""
_FORMULA = re.compile("(^|;)(?=['\" ]*[=+\\-@\uff1d\uff0b\uff0d\uff20])")
"""Before what a spreadsheet would compute: at the beginning, or behind what some read as the end of a cell."""


def is_text(text: str) -> bool:
    """Return whether UTF-8 can hold it: bytes of a command line or a file's name that are no text stand as halves of pairs."""
    return not re.search("[\ud800-\udfff]", text)


def printable(text: str) -> str:
    r"""Return text in which every character that a terminal may act on, or that cannot be seen, is spelled out, as `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = MARKS  # one at the beginning has no letter
    for letter in text:
        marks = marks + 1 if _is_mark(letter) else 0
        is_plain = letter.isprintable() and marks <= MARKS and not _INKLESS.match(letter)
        shown.append(letter if is_plain else letter.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines, each column as wide as its widest cell; what is too wide is cut."""
    safe = [[_cut(printable(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*safe, strict=True)]
    return "\n".join("  ".join(map(_padded, row, widths)).rstrip() for row in safe)


def write_csv(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as CSV below their names; None is empty.

    Texts are spelled out as `printable` does, and have an apostrophe before what a spreadsheet would compute.
    """
    written = csv.DictWriter(sys.stdout, fields, lineterminator="\n", extrasaction="ignore")
    written.writeheader()
    written.writerows({name: _inert(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows)


def write_json(value: Any) -> None:
    """Print a value as JSON, in ASCII: its own escapes stand for whatever a terminal may act on."""
    click.echo(json.dumps(value, indent=1).replace("\x7f", "\\u007f"))


@contextmanager
def spelled_out() -> Iterator[None]:
    """Let nothing reach the terminal, meanwhile, that acts on it, whoever prints it."""
    with redirect_stdout(cast(TextIO, _Spelled(sys.stdout))), redirect_stderr(cast(TextIO, _Spelled(sys.stderr))):
        yield


class _Spelled:
    """A stream of text that spells out what a terminal may act on, and what its encoding lacks."""

    encoding = "utf-8"
    """Of what may be written to it: whatever the stream behind it lacks is spelled out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        # A progress bar begins at the left, and goes up to the line of another one.
        begun, moved, rest = cast(re.Match[str], re.fullmatch("(\r?)((?:\n|\x1b\\[A)*)(.*)", text, re.DOTALL)).groups()
        lines = "\n".join(map(printable, rest.split("\n")))
        known = self._stream.encoding or "ascii"
        self._stream.write(begun + moved + lines.encode(known, "backslashreplace").decode(known))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


def _is_mark(letter: str) -> bool:
    """Return whether it is drawn over or under the letter before it."""
    return unicodedata.category(letter) in ("Mn", "Me")


def _width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    return sum(0 if _is_mark(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _cut(cell: str) -> str:
    """Return a cell that is not too wide."""
    if len(cell) <= WIDEST and _width(cell) <= WIDEST:
        return cell
    kept = ""
    for letter in cell:
        if _width(kept + letter) >= WIDEST:
            break
        kept += letter
    return f"{kept}…"


def _inert(text: str) -> str:
    return _FORMULA.sub(r"\1'", printable(text))
