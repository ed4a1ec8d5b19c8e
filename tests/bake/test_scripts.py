"""What our own scripts may not do: turn a text into markup or into code."""

from __future__ import annotations

import re

import pytest

from atlas.bake.templates import templates_root

SCRIPTS = sorted(
    path.relative_to(templates_root()).as_posix()
    for path in templates_root().rglob("*.js")
    if "vendor" not in path.relative_to(templates_root()).parts
)
SINKS = re.compile(
    r"""innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|createContextualFragment|parseFromString|srcdoc
    |\beval\b|new\s+Function|\bFunction\(|javascript:|(?<![#\w.])import\(|\.cssText|setAttribute\(\s*["'`](on|style)|\bset(Timeout|Interval)\(\s*["'`]
    |location\.(href|assign|replace)\s*[=(](?!=)|(?<![#\w.])fetch\(|XMLHttpRequest|WebSocket|sendBeacon|window\.open|postMessage""",
    re.VERBOSE,
)
ALLOWED = {
    "static/js/base/definitions.js": ["innerHTML"],  # of the bake's own words: docs/measures.md
    "static/js/expert/projections.js": ["outerHTML"],  # read, to draw our own picture as an image
}
"""By script, what stands in it and why."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_or_code_of_a_text(name: str) -> None:
    code = re.sub(r"(^|\s)//\s.*$", "", (templates_root() / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [found.group() for found in SINKS.finditer(code)] == ALLOWED.get(name, [])


@pytest.mark.parametrize("template", ["index.html.jinja", "embed.html.jinja"])
def test_a_policy_allows_nothing_but_what_is_named(template: str) -> None:
    text = (templates_root() / template).read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|https?:|\*|connect-src|frame-src|object-src|worker-src|font-src|media-src", policy)


def test_templates_hold_no_inline_style_or_handler() -> None:
    for path in templates_root().rglob("*.jinja"):
        assert not re.search(r"<[^>]*\s(style|on\w+)=", path.read_text(encoding="utf-8")), path.name
        assert "|safe" not in path.read_text(encoding="utf-8").replace(" ", ""), path.name
