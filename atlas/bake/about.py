"""The author's own words on the first page: Markdown ► HTML that holds no markup of theirs and loads nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from atlas.bake.spelled import spelled
from atlas.errors import AboutError

LARGEST = 100_000
"""Bytes."""
_LINK = re.compile(r"https?://|mailto:|[^:/]*$|[^:/]+/|[^:/]*[?#]", re.IGNORECASE)
"""How an address begins that leads to the web, to a mail program, or to another place in the site."""


def about_html(path: Path) -> Markup:
    """Return the HTML of a Markdown file (CommonMark and tables), with its headings one level down, below the page's own.

    HTML in it is shown as text, and what cannot be seen has a name. Links lead to the web, to a mail program or into the site,
    and out of it only when they are followed; what else is written as a link stays as it is written.

    Raises:
        AboutError: the file cannot be read, is too large, is not UTF-8, or has an image in it.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise AboutError(f"--about: '{path}' cannot be read: {error.strerror}. Give a Markdown file.") from error
    if size > LARGEST:
        raise AboutError(f"--about: '{path}' has {size:,} bytes; the page takes at most {LARGEST:,}. Shorten it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AboutError(f"--about: '{path}' is not UTF-8 (byte {error.start + 1:,}). Save it as UTF-8.") from error
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.validateLink = lambda url: bool(_LINK.match(url))  # type: ignore[method-assign]
    tokens = markdown.parse(text)
    for token, line in _with_lines(tokens):
        if token.type == "image":
            raise AboutError(
                f"--about: '{path}' has an image near line {line}; the page loads nothing that a bake did not write. Link to it."
            )
        if token.type == "link_open":
            token.attrSet("rel", "noopener noreferrer")
            if "title" in token.attrs:
                token.attrSet("title", spelled(str(token.attrs["title"])))
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrSet("class", str(token.attrs.pop("style")).replace("text-align:", ""))  # the policy allows no inline style
        if token.type in ("text", "code_inline"):
            token.content = spelled(token.content, LARGEST)
        if token.type in ("fence", "code_block"):
            token.content = "\n".join(spelled(row, LARGEST) if row.strip() else row for row in token.content.split("\n"))
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
    # Made by our renderer from tokens that hold no HTML of the author's: everything in them was escaped.
    return Markup(markdown.renderer.render(tokens, markdown.options, _NOTHING))


_NOTHING: dict[str, Any] = {}


def _with_lines(tokens: Sequence[Token]) -> list[tuple[Token, int]]:
    """Return the tokens with those inside them, each with the line, from 1, on which its block begins."""
    found = []
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        found += [(inner, line) for inner in (token, *(token.children or ()))]
    return found
