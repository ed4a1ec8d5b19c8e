"""The headers that netlify.toml gives to each path, as Netlify reads them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atlas
from atlas.errors import ConfigError

# What Netlify sends with a static file for which no rule says otherwise.
REVALIDATE = "public, max-age=0, must-revalidate"


@dataclass(frozen=True)
class Rule:
    """Headers for the paths that match."""

    path: str
    """`*` stands for anything, slashes too; a whole segment that begins with a colon for any one segment."""
    values: Mapping[str, str]

    def matches(self, path: str) -> bool:
        """Return whether the rule holds for an absolute URL path, in either case of its letters."""
        segments = [segment.rstrip() for segment in self.path.split("/")]
        pattern = "/".join(_segment_pattern(segment) for segment in segments if segment)
        return re.fullmatch(f"/{pattern}/?", path, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Headers:
    """All rules of one netlify.toml."""

    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, path: Path) -> Headers:
        """Read the rules of a netlify.toml.

        Raises:
            ConfigError: it cannot be read, or a rule in it is not one.
        """
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{str(path)!r} could not be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{str(path)!r} is not TOML: {error}.") from error
        return cls(tuple(_rule(number, given, path) for number, given in enumerate(settings.get("headers", []), 1)))

    def sent_with(self, path: str) -> dict[str, str]:
        """Return the headers of a static file by name; of two rules that name the same header, the later one counts."""
        headers = {"Cache-Control": REVALIDATE}
        for rule in self.rules:
            if rule.matches(path):
                headers |= {_same_name(name, headers): value for name, value in rule.values.items()}
        return headers


def config_path() -> Path:
    """Return netlify.toml: the one inside the installed package, else the checkout's."""
    package = Path(atlas.__file__).parent
    installed = package / "netlify.toml"
    return installed if installed.is_file() else package.parent / "netlify.toml"


def _segment_pattern(segment: str) -> str:
    if segment.startswith(":"):
        return "([^/]+)"
    if segment == "*":
        return "?(.*)"  # the slash before it need not be there
    if "*" in segment:
        return segment.replace("*", "(.*)")  # Netlify escapes nothing here
    return re.escape(segment)


def _rule(number: int, given: Any, path: Path) -> Rule:
    wrong = f"Rule {number} of [[headers]] in {str(path)!r}"
    if not (isinstance(given, dict) and isinstance(given.get("for"), str)):
        raise ConfigError(f'{wrong} names no path: give it for = "/*".')
    values = given.get("values", {})
    if not isinstance(values, dict):
        raise ConfigError(f"{wrong} has no table [headers.values].")
    return Rule(given["for"].strip(), {_name(name, wrong): _value(value, f"{wrong}: {name}") for name, value in values.items()})


def _name(name: str, wrong: str) -> str:
    if not re.fullmatch(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*", name):
        raise ConfigError(f"{wrong} has a header named {name!r}; a name is made of letters, digits and hyphens.")
    return name.strip()


def _value(value: Any, wrong: str) -> str:
    parts = value.split(",") if isinstance(value, str) else value
    if not (isinstance(parts, list) and all(isinstance(part, str) for part in parts)):
        raise ConfigError(f"{wrong} is {value!r}: write it as text.")
    said = ", ".join(part.strip() for part in parts)
    if not (said.isascii() and said.isprintable()):
        raise ConfigError(f"{wrong} is {value!r}; a header is one line of plain ASCII.")
    return said


def _same_name(name: str, headers: Mapping[str, str]) -> str:
    """Return a header's name as it is written already: names differ in more than case, or not at all."""
    return next((known for known in headers if known.lower() == name.lower()), name)
