"""Texts as a page shows them: what cannot be seen has a name."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from markupsafe import Markup

LONGEST = 2_000
"""UTF-16 code units of a text that is shown whole."""
MARKS = 4
"""Accents and vowel signs on one letter; more would be painted over the lines around it."""
_PRINTED = 20_000
"""Likewise, of a text that a template prints."""
_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Without width or ink, of other categories than these."""
_JOINER = re.compile("[\u200c\u200d\ufe00-\ufe0f]")
_SHAPED = re.compile("[#*0-9\u00a9\u00ae\u0531-\U0010ffff]")
_BLANK = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
"""What scripts take for white space."""
_SIGNS = {" ": "space", "\u00a0": "nbsp", "\n": "⏎", "\t": "⇥"}


def spelled(text: str, longest: int = LONGEST) -> str:
    """Return a text, cut, with a name for whatever in it cannot be seen, turns it around or would be painted over its neighbours.

    The names are those that the page's scripts give, see `words.js`.
    """
    if text.isascii() and text.isprintable() and len(text) <= longest and text.strip():
        return text
    kept = _beginning(text, longest)
    is_blank = kept.strip(_BLANK) == ""
    found: list[str] = []
    seen, many, same, marks, last = "", "", "", 0, ""

    def flush() -> None:
        nonlocal seen, many, same
        found.append(seen + (_counted(len(many), "mark") if many else "") + (_named(same) if same else ""))
        seen, many, same = "", "", ""

    for character in kept:
        is_shaping = _shapes(character, last)
        is_unseen = is_blank or (_is_unseen(character) and not is_shaping)
        if unicodedata.category(character).startswith("M"):
            marks += 1
        elif not is_shaping:
            marks = 0
        if is_unseen:
            if not same.startswith(character):
                flush()
            same += character
        elif marks > MARKS:
            if same:
                flush()
            many += character
        else:
            if many or same:
                flush()
            seen += character
        last = "" if is_unseen else character
    flush()
    if len(kept) < len(text):
        found.append("… " + _counted(len(text) - len(kept), "character"))
    return "".join(found)


def shown(value: Any) -> Any:
    """Return what a template prints of a value: a text as it is spelled, anything else as it is."""
    return spelled(value, _PRINTED) if isinstance(value, str) and not isinstance(value, Markup) else value


def _beginning(text: str, longest: int) -> str:
    units = 0
    for at, character in enumerate(text):
        units += 1 + (character > "\uffff")
        if units > longest:
            return text[:at]
    return text


def _shapes(character: str, last: str) -> bool:
    if not _JOINER.match(character) or not _SHAPED.match(last):
        return False
    return not _JOINER.match(last) or (character == "\u200d" and last != "\u200d")


def _is_unseen(character: str) -> bool:
    code = ord(character)
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_none or unicodedata.category(character) in _CATEGORIES or bool(_IGNORABLE.match(character))


def _named(run: str) -> str:
    character = run[0]
    name = _SIGNS.get(character, f"U+{ord(character):04X}")
    if len(run) == 1:
        return name
    return name * len(run) if len(run) < 4 and len(name) == 1 else f"{name}×{len(run)}"


def _counted(number: int, one: str) -> str:
    return f"+{number:,} {one}{'' if number == 1 else 's'}"
