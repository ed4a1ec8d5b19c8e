from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atlas
from atlas.bake import templates_root
from atlas.errors import ConfigError
from atlas.publish.headers import Headers, Rule, config_path

ROOT = Path(atlas.__file__).parents[1]
PARSERS = {"@netlify/headers-parser": "9.0.3", "@netlify/redirect-parser": "15.0.4"}
"""Netlify's own readers of netlify.toml; the newest that run under Node 20."""
ASK = """
import { parseAllHeaders } from "@netlify/headers-parser";
import { parseAllRedirects } from "@netlify/redirect-parser";
const { netlifyConfigPath, paths } = JSON.parse(process.argv[2]);
const { headers, errors } = await parseAllHeaders({ netlifyConfigPath, minimal: false });
const redirects = await parseAllRedirects({ netlifyConfigPath, minimal: false });
const matches = paths.map((path) => headers.map(({ forRegExp }) => forRegExp.test(path)));
const wrong = [...errors, ...redirects.errors].map(String);
console.log(JSON.stringify({ headers, matches, redirects: redirects.redirects, errors: wrong }));
"""
PATHS = (
    *("/", "/index.html", "/index.html/", "/INDEX.html", "/indexxhtml", "/baked.json", "/CNAME", "/deep/index.html"),
    *("/assets", "/assets/", "/assetsandmore", "/assets/0123456789ab/js/main.js", "/Assets/x", "/other/assets/x"),
    *("/data/atlas.0123456789ab.js", "/data/experts/3.0123456789ab.js", "/data//x", "/data.js"),
)
ODD_RULES = ("/:one", "/:one/two", "/a/*/b", "/*.js", "/a*b/c", "no/slash", "/trailing/", "/dot.ted", "/*/:last", "/sp ace ")
ODD_PATHS = (
    "/x",
    "/x/two",
    "/a/b",
    "/a/x/b",
    "/a/x/y/b",
    "/x.js",
    "/d/x.js",
    "/xjs",
    "/aZb/c",
    "/ab/c",
    "/no/slash",
    "/trailing",
)


def policy(text: str) -> dict[str, str]:
    """A Content-Security-Policy's directives."""
    return dict(directive.strip().split(" ", 1) for directive in text.split(";"))


@pytest.fixture(scope="module")
def netlify(pytestconfig: pytest.Config) -> Any:
    """Asks Netlify's own parsers what a netlify.toml says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no node and npm, which Netlify's parsers need")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("netlify-parsers")
    if any(not (folder / "node_modules" / name).is_dir() for name in PARSERS):
        wanted = [f"{name}@{version}" for name, version in PARSERS.items()]
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *wanted]
        install = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if install.returncode:
            pytest.skip(f"Netlify's parsers could not be fetched: {install.stderr.strip().splitlines()[-1]}")
    script = folder / "ask.mjs"
    script.write_text(ASK)

    def ask(config: Path, paths: tuple[str, ...]) -> dict[str, Any]:
        question = json.dumps({"netlifyConfigPath": str(config), "paths": paths})
        answer = subprocess.run([node, str(script), question], capture_output=True, text=True, check=True, timeout=60)
        return dict(json.loads(answer.stdout))

    return ask


def test_netlify_reads_the_configuration_as_we_do(netlify: Any) -> None:
    config = config_path()

    read = netlify(config, PATHS)

    ours = Headers.read(config).rules
    assert read["errors"] == [] and read["redirects"] == []
    assert [(rule["for"], rule["values"]) for rule in read["headers"]] == [(rule.path, dict(rule.values)) for rule in ours]
    assert read["matches"] == [[rule.matches(path) for rule in ours] for path in PATHS]


def test_odd_rules_match_as_netlify_matches_them(netlify: Any, tmp_path: Path) -> None:
    config = tmp_path / "netlify.toml"
    config.write_text("".join(f'[[headers]]\nfor = "{path}"\n[headers.values]\nX-A = "1"\n' for path in ODD_RULES))

    paths = (*PATHS, *ODD_PATHS)
    read = netlify(config, paths)

    assert read["errors"] == []
    assert read["matches"] == [[rule.matches(path) for rule in Headers.read(config).rules] for path in paths]


def test_values_are_joined_as_netlify_joins_them(netlify: Any, tmp_path: Path) -> None:
    config = tmp_path / "netlify.toml"
    config.write_text(
        '[[headers]]\nfor = "/*"\n[headers.values]\nList = ["a ", " b, c"]\nLines = """\n  one,\n  two  ,three\n"""\n'
    )

    read = netlify(config, ("/",))

    assert read["headers"][0]["values"] == {"List": "a, b, c", "Lines": "one, two, three"}
    assert Headers.read(config).rules[0].values == read["headers"][0]["values"]


def test_the_build_makes_the_demo_without_cuda() -> None:
    settings = tomllib.loads((ROOT / "netlify.toml").read_text(encoding="utf-8"))

    assert settings["build"]["publish"] == "site"
    assert settings["build"]["command"] == "make atlas"
    assert re.search(r"^atlas:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert settings["build"]["environment"] == {"PYTHON_VERSION": "3.13", "UV_TORCH_BACKEND": "cpu"}
    assert set(settings) == {"build", "headers"}


def test_no_two_rules_give_one_path_the_same_header() -> None:
    rules = Headers.read(config_path()).rules

    for path in PATHS:
        names = [name.lower() for rule in rules if rule.matches(path) for name in rule.values]
        assert len(names) == len(set(names)), path


@pytest.mark.parametrize("path", ["/assets/0123456789ab/js/main.js", "/data/atlas.0123456789ab.js", "/data/experts/3.ab.js"])
def test_hashed_files_are_kept_for_a_year(path: str) -> None:
    assert Headers.read(config_path()).sent_with(path)["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", ["/", "/index.html", "/baked.json", "/CNAME"])
def test_everything_else_is_asked_for_again(path: str) -> None:
    assert Headers.read(config_path()).sent_with(path)["Cache-Control"] == "public, max-age=0, must-revalidate"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_has_the_security_headers(path: str) -> None:
    sent = Headers.read(config_path()).sent_with(path)

    directives = policy(sent["Content-Security-Policy"])
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["frame-ancestors"] == "'self'"
    assert "unsafe-eval" not in sent["Content-Security-Policy"]
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert sent["Referrer-Policy"] == "no-referrer"
    assert sent["Cross-Origin-Opener-Policy"] == sent["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in sent["Permissions-Policy"]


def test_the_page_carries_the_policy_that_the_host_sends() -> None:
    template = (templates_root() / "index.html.jinja").read_text(encoding="utf-8")
    in_page = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', template)
    assert in_page
    sent = policy(Headers.read(config_path()).sent_with("/")["Content-Security-Policy"])

    del sent["frame-ancestors"]  # a <meta> cannot say it
    assert policy(in_page[1]) == sent


def test_a_later_rule_wins_whatever_the_case_of_the_name() -> None:
    rules = Headers(
        (Rule("/*", {"X-Frame-Options": "DENY", "Cache-control": "no-store"}), Rule("/a", {"x-frame-options": "SAMEORIGIN"}))
    )

    assert rules.sent_with("/a") == {"X-Frame-Options": "SAMEORIGIN", "Cache-Control": "no-store"}
    assert rules.sent_with("/b") == {"X-Frame-Options": "DENY", "Cache-Control": "no-store"}


@given(st.lists(st.text("abc.-", min_size=1), max_size=4).map("/".join))
def test_a_star_holds_for_every_path_and_a_plain_rule_for_its_own(path: str) -> None:
    assert Rule("/*", {}).matches(f"/{path}")
    assert Rule(f"/{path}", {}).matches(f"/{path}")
    assert not Rule(f"/{path}", {}).matches(f"/{path}x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[headers]\n", "is not TOML"),
        ('[[headers]]\n[headers.values]\nA = "1"\n', "Rule 1 .* names no path"),
        ('[[headers]]\nfor = "/*"\nvalues = 3\n', "Rule 1 .* has no table"),
        ('[[headers]]\nfor = "/*"\n[headers.values]\nA = 1\n', "Rule 1 .*: A is 1: write it as text"),
        ('[[headers]]\nfor = "/*"\n[headers.values]\nA = "a\\r\\nSet-Cookie: b"\n', "one line of plain ASCII"),
        ('[[headers]]\nfor = "/*"\n[headers.values]\n"A: b" = "c"\n', "header named 'A: b'"),
    ],
    ids=["syntax", "path", "values", "value", "lines", "name"],
)
def test_a_configuration_that_cannot_be_used_says_where(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "netlify.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=says):
        Headers.read(path)


def test_a_configuration_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not be read: No such file"):
        Headers.read(tmp_path / "netlify.toml")
