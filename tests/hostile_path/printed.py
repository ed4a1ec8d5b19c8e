"""What a terminal, a spreadsheet and LaTeX would act on in what commands print."""

from __future__ import annotations

import re
import unicodedata

from click.testing import CliRunner, Result

from pipelines.cli import main

SHEET = re.compile("['\" ]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet computes."""


def run(*arguments: object) -> Result:
    """Run a command and return what came of it, after a look at all that it printed; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    require_still(result.stdout)
    require_still(re.sub("(^|\n)\r|\r(?=[A-Z])", r"\1", result.stderr))  # a progress bar goes back to the left
    if result.exit_code:
        assert result.exit_code in (1, 2) and len([line for line in result.stderr.split("\n") if line.startswith("Error:")]) == 1
    return result


def require_still(text: str) -> None:
    """Raise unless a text moves no cursor, and turns no line around."""
    acting = {f"U+{ord(letter):04X}" for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {
        "U+000A"
    }
    assert not acting, sorted(acting)


def computed(cell: str) -> bool:
    """Return whether a spreadsheet computes a cell that was read from CSV, or a part of it behind a semicolon."""
    return any(SHEET.match(part) is not None and not re.match("[\" ]*'", part) for part in cell.split(";"))
