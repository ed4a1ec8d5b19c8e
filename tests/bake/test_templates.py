from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

from atlas.bake import templates_root
from atlas.bake.templates import Templates
from atlas.errors import TemplateError

VALUES = {"manifest": "data/atlas.1.js", "assets": "assets/1", "generator": "expert-atlas"}

ORIGIN = SimpleNamespace(lines=(), needed=(), hub=(), machine="Atlas 0.1.0", check="atlas verify site", prompts=0, groups=())


class Front:
    title = "A title"
    summary = "A summary"
    pieces = ()
    first = SimpleNamespace(caption="All experts", experts=())
    groups = ()
    tasks = ()
    order = "order"
    jointly = None
    overview = SimpleNamespace(is_drawn=False, line="No map.", more=())
    shapes = None
    absences = ()
    about = None
    prompts = ()
    data = None
    licences = ()


def own(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text, encoding="utf-8")
    return tmp_path / "own"


def page(templates: Templates) -> str:
    return templates.render("index.html.jinja", VALUES | {"front": Front(), "origin": ORIGIN})


def test_templates_come_from_the_checkout_or_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (templates_root() / "index.html.jinja").is_file()
    package = tmp_path / "atlas"
    (package / "templates").mkdir(parents=True)
    monkeypatch.setattr("atlas.__file__", str(package / "__init__.py"))
    assert templates_root() == package / "templates"


def test_a_template_may_extend_ours(tmp_path: Path) -> None:
    text = '{% extends "atlas/index.html.jinja" %}{% block footer %}<footer>Our group & others</footer>{% endblock %}'
    changed = page(Templates(own(tmp_path, {"index.html.jinja": text})))
    assert "<footer>Our group & others</footer>" in changed
    assert changed.replace("<footer>Our group & others</footer>", "") == page(Templates(None))


@pytest.mark.parametrize("block", ["head", "masthead", "about", "footer"])
def test_the_page_has_named_blocks(tmp_path: Path, block: str) -> None:
    text = f'{{% extends "atlas/index.html.jinja" %}}{{% block {block} %}}MINE{{% endblock %}}'
    assert page(Templates(own(tmp_path, {"index.html.jinja": text}))).count("MINE") == 1


def test_the_documents_example_adds_a_stylesheet_and_a_footer(tmp_path: Path) -> None:
    document = (templates_root().parent / "docs" / "site.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```jinja\n(.*?)^```", document, flags=re.DOTALL | re.MULTILINE)
    html = page(Templates(own(tmp_path, {"index.html.jinja": example})))
    assert '<link rel="stylesheet" href="assets/1/css/ours.css">' in html.partition("</head>")[0]
    assert "<footer>Our group</footer>" in html.partition("</main>")[2]


def test_static_files_are_laid_over_ours(tmp_path: Path) -> None:
    files = {"static/css/theme.css": ":root {}", "static/img/logo.svg": "<svg/>", "static/.DS_Store": "x", "notes.txt": "x"}
    (tmp_path / "plain").mkdir()
    (tmp_path / "site").mkdir()
    plain = tmp_path / "plain" / Templates(None).write_static(tmp_path / "plain")
    mine = tmp_path / "site" / Templates(own(tmp_path, files)).write_static(tmp_path / "site")
    assert mine.name != plain.name
    ours = {path.relative_to(plain).as_posix(): path.read_bytes() for path in plain.rglob("*") if path.is_file()}
    found = {path.relative_to(mine).as_posix(): path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    assert found == ours | {"css/theme.css": b":root {}", "img/logo.svg": b"<svg/>"}


def test_the_folder_of_static_files_is_named_after_what_they_hold(tmp_path: Path) -> None:
    names = []
    for text in (":root {}", ":root { }", ":root {}"):
        site = tmp_path / str(len(names))
        site.mkdir()
        names.append(Templates(own(tmp_path, {"static/css/theme.css": text})).write_static(site))
    assert names[0] == names[2] != names[1]
    assert len(names[0]) == len("assets/") + 12


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"index.html.jinja": "one\n{% if %}"}, r"own/index\.html\.jinja', line 2: Expected an expression"),
        ({"index.html.jinja": "one\ntwo\n{{ nothing }}"}, r"own/index\.html\.jinja', line 3: 'nothing' is undefined"),
        ({"index.html.jinja": "{{ front.titel }}"}, r"line 1: .*has no attribute 'titel'"),
        ({"index.html.jinja": "\n{{ 1 / 0 }}"}, r"own/index\.html\.jinja', line 2: division by zero"),
        (
            {"index.html.jinja": '{% extends "frame.jinja" %}'},
            r"index\.html\.jinja', line 1: there is no template 'frame\.jinja'\. Mend it",
        ),
        ({"index.html.jinja": '{% extends "index.html.jinja" %}'}, r'extends itself.*\{% extends "atlas/index'),
        ({"page.html": "a", "static/extra.css": ""}, r"own' overrides nothing\. It needs index\.html\.jinja"),
    ],
    ids=["syntax", "undefined", "attribute", "arithmetic", "missing", "itself", "idle"],
)
def test_a_template_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        page(Templates(own(tmp_path, files)))
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, what in (("none", "does not exist"), ("file", "is a file")):
        with pytest.raises(TemplateError, match=f"--templates: '[^\n]*{name}' {what}. Give a folder"):
            Templates(tmp_path / name)


def test_a_template_that_is_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "index.html.jinja").write_bytes(b"\xff")
    with pytest.raises(TemplateError, match=r"A template in '[^\n]*': 'utf-8' codec can't decode"):
        Templates(tmp_path).check()


def test_a_fault_in_our_own_template_is_a_bug(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "index.html.jinja").write_text("{{ nothing }}")
    monkeypatch.setattr("atlas.bake.templates.templates_root", lambda: tmp_path)
    with pytest.raises(jinja2.UndefinedError):
        page(Templates(None))


def test_syntax_is_looked_at_ahead(tmp_path: Path) -> None:
    Templates(None).check()
    with pytest.raises(TemplateError, match="line 1"):
        Templates(own(tmp_path, {"index.html.jinja": "{% if %}"})).check()
