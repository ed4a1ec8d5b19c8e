"""The definitions of docs/measures.md, one for each of its terms: what the page says of a number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

import atlas

_SOURCE = re.compile(r"\s*\((?:<code>[^<]*\.py</code>(?:, )?)+\)")
"""Where the code is: of no use to who reads a page."""
_SENTENCE_ENDS = (".", ".)", "`)")


def measures_path() -> Path:
    """Return the file of definitions: the one inside the installed package, else the checkout's."""
    package = Path(atlas.__file__).parent
    installed = package / "measures.md"
    return installed if installed.is_file() else package.parent / "docs" / "measures.md"


def definitions(text: str) -> dict[str, dict[str, str]]:
    """Return by term, in lower case, its `title` and the `html` of its definition.

    A term is what stands in bold, or first in a row of a table. It is defined by the rest of its row, or by its paragraph, from
    the sentence in which it stands to the next one that begins with a term; a paragraph that ends in a colon has the list or
    table that follows along. Links are left out, markup is shown as text.

    Raises:
        ValueError: a term is defined twice.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    found: dict[str, dict[str, str]] = {}
    for title, html in _terms(markdown, markdown.parse(text)):
        term = title.casefold()
        if term in found:
            raise ValueError(f"measures.md defines {title!r} twice; name one of the two otherwise.")
        found[term] = {"title": title, "html": html}
    return found


def _terms(markdown: MarkdownIt, tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    heads: list[str] = []
    cells: list[str] = []
    for at, (before, token) in enumerate(zip(tokens, tokens[1:], strict=False)):
        if before.type == "table_open":
            heads = []
        elif before.type == "tr_open":
            cells = []
        elif token.type == "tr_close" and cells and len(cells) == len(heads):
            yield _plain(cells[0]), "".join(_told(head, cell) for head, cell in zip(heads[1:], cells[1:], strict=True) if cell)
        if token.type != "inline":
            continue
        children = _unlinked(token)
        if before.type == "th_open":
            heads.append(_html(markdown, children))
        elif before.type == "td_open":
            cells.append(_html(markdown, children))
        else:
            for piece in _pieces(children):
                html = f"<p>{_html(markdown, piece)}</p>"
                if html.endswith(":</p>"):
                    html += _html(markdown, _block(tokens[at + 3 :]))
                for title in _bold(piece):
                    yield title, html


def _told(head: str, cell: str) -> str:
    return f"<p>{cell}</p>" if head in ("definition", "what it is") else f"<p>{head[:1].upper()}{head[1:]}: {cell}</p>"


def _block(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the list or table that tokens begin with; nothing where they begin with something else."""
    if not tokens or tokens[0].type not in ("ordered_list_open", "bullet_list_open", "table_open"):
        return []
    return tokens[: next(at for at, token in enumerate(tokens, start=1) if token.level == 0 and token.nesting < 0)]


def _unlinked(token: Token) -> list[Token]:
    return [child for child in token.children or () if child.type not in ("link_open", "link_close")]


def _pieces(children: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the inline tokens of a paragraph, cut before each sentence that begins with a bold word."""
    piece: list[Token] = []
    for child in children:
        if child.type == "strong_open" and _written(piece).rstrip().endswith(_SENTENCE_ENDS):
            yield piece
            piece = []
        piece.append(child)
    yield piece


def _bold(children: Sequence[Token]) -> Iterator[str]:
    opened = [at for at, child in enumerate(children) if child.type == "strong_open"]
    closed = [at for at, child in enumerate(children) if child.type == "strong_close"]
    for first, last in zip(opened, closed, strict=True):
        yield _written(children[first:last]).strip().rstrip(".")


def _written(children: Sequence[Token]) -> str:
    """Return inline tokens as text; code keeps its quotes."""
    signs = {"softbreak": " ", "code_inline": "`"}
    return "".join(signs.get(child.type, "") + child.content + ("`" if child.type == "code_inline" else "") for child in children)


def _plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def _html(markdown: MarkdownIt, tokens: Sequence[Token]) -> str:
    """Render inline tokens, or a whole block."""
    environment: dict[str, Any] = {}
    # Escaped by our renderer, which was given no HTML.
    if tokens and tokens[0].block:
        shown = [token.copy(children=_unlinked(token)) if token.type == "inline" else token for token in tokens]
    else:
        shown = [Token("inline", "", 0, children=list(tokens))]
    return _SOURCE.sub("", markdown.renderer.render(shown, markdown.options, environment)).strip()
