"""Where the page's template and static files come from, and what a template's error says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

import atlas
from atlas.bake.folder import ASSETS
from atlas.bake.spelled import shown
from atlas.errors import TemplateError

_AUTHORS = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template can raise by what stands in it."""


def templates_root() -> Path:
    """Return the folder of templates: the one inside the installed package, else the checkout's."""
    package = Path(atlas.__file__).parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


class Templates:
    """Our templates and static files, with an author's own laid over them.

    A template of the author's may extend ours under the name 'atlas/<name>'.

    Raises:
        TemplateError: the author's folder is none, or overrides nothing.
    """

    def __init__(self, own: Path | None) -> None:
        root = templates_root()
        self._own = own
        ours = _files(root)
        found = {} if own is None else _overrides(_folder(own), ours)
        if own is not None and not found.keys() & ours.keys():
            raise TemplateError(
                f"--templates: '{own}' overrides nothing. It needs index.html.jinja, or a file below static/ with the path of "
                "one of ours, such as static/css/theme.css."
            )
        self._static = {
            name.removeprefix("static/"): path for name, path in sorted((ours | found).items()) if name.startswith("static/")
        }
        self._names = sorted(name for name in ours if name.endswith(".jinja"))
        folders = [root] if own is None else [own, root]
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folders), PrefixLoader({"atlas": FileSystemLoader(root)})]),
            autoescape=True,
            finalize=shown,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def check(self) -> None:
        """Raise TemplateError unless every template can be read as one."""
        for name in self._names:
            try:
                self._environment.get_template(name)
            except (jinja2.TemplateError, UnicodeDecodeError) as error:
                if self._own is None:
                    raise
                raise self._one_line(error) from error

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return what a template makes of the values.

        Raises:
            TemplateError: it cannot be read as a template, or it fails, with its file and line.
        """
        try:
            return self._environment.get_template(name).render(values)
        except _AUTHORS as error:
            if self._own is None:
                raise
            raise self._one_line(error) from error

    def write_static(self, site: Path) -> str:
        """Write the static files into a folder named after the content of all of them; return its path in the site."""
        contents = _contents(self._static)
        folder = f"{ASSETS}/{assets_digest(contents)}"
        for name, content in contents.items():
            target = site / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return folder

    def sha256(self) -> str:
        """Return a hash of every template and static file that a bake takes, by name."""
        loader = self._environment.loader
        assert loader is not None
        sources = {name: loader.get_source(self._environment, name)[0].encode() for name in self._names}
        static = {f"static/{name}": content for name, content in _contents(self._static).items()}
        return _sha256(sources | static)

    def own_files(self) -> dict[str, str]:
        """Return the sha256 of every file in the author's folder, by its path in it: a template may include any of them."""
        if self._own is None:
            return {}
        return {name: hashlib.sha256(content).hexdigest() for name, content in _contents(_files(self._own)).items()}

    def _one_line(self, error: Exception) -> TemplateError:
        if isinstance(error, RecursionError):
            return TemplateError(
                f"--templates: a template in '{self._own}' extends itself. To extend ours of the same name, write "
                '{% extends "atlas/index.html.jinja" %}.'
            )
        if isinstance(error, jinja2.TemplateNotFound):
            reason = f"there is no template {error.name!r}"
        else:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        place = _place(error) or f"A template in '{self._own}'"
        return TemplateError(f"{place}: {reason}. Mend it.")


def assets_digest(contents: Mapping[str, bytes]) -> str:
    """Return what a folder of static files is named after: 12 digits of a hash of their paths in it and their contents."""
    return _sha256(contents)[:12]


def _sha256(contents: Mapping[str, bytes]) -> str:
    """Return a hash of named contents, in the order of their names."""
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        for part in (name.encode(), content):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _place(error: Exception) -> str | None:
    """Return the template's file and line that an error comes from."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"'{error.filename or error.name}', line {error.lineno}"
    place = None
    trace = error.__traceback__
    while trace:
        # Jinja gives its frames the names and lines of the templates that they were made from.
        if "__jinja_template__" in trace.tb_frame.f_globals or trace.tb_frame.f_code.co_filename.endswith(".jinja"):
            place = f"'{trace.tb_frame.f_code.co_filename}', line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _folder(path: Path) -> Path:
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise TemplateError(f"--templates: '{path}' {what}. Give a folder with index.html.jinja or static/ in it.")
    return path


def _overrides(own: Path, ours: Mapping[str, Path]) -> dict[str, Path]:
    """Return the author's files that a bake takes: those with the path of one of ours, and all below static/."""
    static = {f"static/{name}": path for name, path in _files(own / "static").items()}
    return {name: own / name for name in ours if (own / name).is_file()} | static


def _contents(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Return what is in files, by name, in order.

    Raises:
        TemplateError: one cannot be read.
    """
    try:
        return {name: path.read_bytes() for name, path in sorted(files.items())}
    except OSError as error:
        raise TemplateError(f"--templates: '{error.filename}' cannot be read: {error.strerror}. Mend it.") from error


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their path in it, without those that editors and desktops hide there."""
    paths = ((path, path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {name.as_posix(): path for path, name in paths if not any(part.startswith(".") for part in name.parts)}
