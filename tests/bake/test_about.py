from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from atlas.bake.about import about_html
from atlas.errors import AboutError
from hostile import encodable

UNSEEN = re.compile(
    "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ue000-\\uf8ff]"
)


class Elements(HTMLParser):
    """The names of all elements and attributes of a text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def made(tmp_path: Path, text: str) -> str:
    (tmp_path / "about.md").write_text(text, encoding="utf-8")
    return str(about_html(tmp_path / "about.md"))


def test_headings_stand_below_the_pages_own(tmp_path: Path) -> None:
    assert made(tmp_path, "# One\n\n###### Six\n") == "<h2>One</h2>\n<h6>Six</h6>\n"


def test_tables_and_emphasis_are_markdown(tmp_path: Path) -> None:
    html = made(tmp_path, "*a*\n\n| x |\n|---|\n| 1 |\n")
    assert "<em>a</em>" in html and "<td>1</td>" in html


def test_markup_is_shown_as_text(tmp_path: Path) -> None:
    html = made(tmp_path, "<script>alert(1)</script>\n\na <img src=x onerror=alert(1)> b\n\n`<b>`\n")
    assert "<script" not in html and "<img" not in html and "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<code>&lt;b&gt;</code>" in html


def test_links_give_nothing_away_and_run_nothing(tmp_path: Path) -> None:
    html = made(
        tmp_path, "[a](https://example.org) [b](#/expert/12) [c](javascript:alert(1)) [d](data:text/html,x) [e](file:///etc)"
    )
    assert '<a href="https://example.org" rel="noopener noreferrer">a</a>' in html
    assert '<a href="#/expert/12" rel="noopener noreferrer">b</a>' in html
    assert html.count("<a ") == 2


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "about.md").write_bytes(b"\xef\xbb\xbf# One\n")
    assert str(about_html(tmp_path / "about.md")) == "<h2>One</h2>\n"


@pytest.mark.parametrize("picture", ["![i](https://example.org/i.png)", "![i](i.png)", "[![i](i.png)](https://example.org)"])
def test_an_image_is_refused_where_it_stands(tmp_path: Path, picture: str) -> None:
    with pytest.raises(AboutError, match=r"about\.md' has an image near line 3; the page loads nothing"):
        made(tmp_path, f"# One\n\n{picture}\n")


def test_other_faults_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes("é".encode("latin-1"))
    with pytest.raises(AboutError, match=r"^--about: '[^\n]*latin\.md' is not UTF-8 \(byte 1\)\. Save it as UTF-8\.$"):
        about_html(tmp_path / "latin.md")
    (tmp_path / "large.md").write_bytes(b"x" * 100_001)
    with pytest.raises(AboutError, match=r"has 100,001 bytes; the page takes at most 100,000"):
        about_html(tmp_path / "large.md")
    with pytest.raises(AboutError, match="none.md' cannot be read: No such file"):
        about_html(tmp_path / "none.md")
    with pytest.raises(AboutError, match="cannot be read: Is a directory"):
        about_html(tmp_path)


@pytest.mark.parametrize(
    "address", ["https://a.example", "HTTP://a.example/b?c=d:e", "mailto:a@b.example", "#/expert/1", "other.html", "a/b:c"]
)
def test_links_lead_to_the_web_to_mail_and_into_the_site(tmp_path: Path, address: str) -> None:
    assert f'<a href="{address}"' in made(tmp_path, f"[a]({address})")


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "java&#115;cript:alert(1)", "vbscript:x", "data:text/html,x"),
        *("blob:x", "file:///etc/passwd", "//a.example", "/root", "ftp://a.example", "tel:1", "javascript&colon;alert(1)"),
        *("%6Aavascript:alert(1)", "view-source:x"),
    ],
)  # fmt: skip
def test_other_links_stay_as_they_are_written(tmp_path: Path, address: str) -> None:
    assert "<a" not in made(tmp_path, f"[a](<{address}>) <{address}>")


def test_hostile_words_bring_no_element_but_those_of_markdown(tmp_path: Path) -> None:
    ours = {
        *("p", "em", "strong", "a", "code", "pre", "ul", "ol", "li", "blockquote", "br", "hr"),
        *("table", "thead", "tbody", "tr", "th", "td"),
        *("h2", "h3", "h4", "h5", "h6"),
    }  # fmt: skip
    for text in encodable():
        try:
            html = made(tmp_path, text[:20_000])
        except AboutError as error:
            assert "has an image" in str(error) and "\n" not in str(error)
            continue
        found = Elements(html)
        assert found.names <= ours, text
        assert found.attributes <= {"href", "rel", "title", "class", "start"}, text
        assert not UNSEEN.search(html), text


def test_columns_of_a_table_are_aligned_without_inline_style(tmp_path: Path) -> None:
    html = made(tmp_path, "| x | y |\n|--:|:-:|\n| 1 | 2 |\n")
    assert '<td class="right">1</td>' in html and '<td class="center">2</td>' in html and "style" not in html
