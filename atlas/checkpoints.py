"""Where a checkpoint is, in a local folder or a repository of the Hugging Face hub, and which files it has.

Nothing here loads torch, and no file is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from atlas.errors import CheckpointError

ARCHITECTURES = ("smixae", "smixae_rebased")
"""What Atlas maps; the second has the same mathematics and the same tensors."""

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
SCALER_FILE = "activation_scaler.json"
"""The factor that rows of an unfolded checkpoint are multiplied by."""
UNFOLDED = "expected_average_only_in"
"""How `normalize_activations` says that weights are of scaled rows."""
SUMS_FILE = "SHA256SUMS"
"""The hashes of the files beside it, as `sha256sum -c` reads them."""
FILES = (CONFIG_FILE, WEIGHTS_FILE, SCALER_FILE, SUMS_FILE, "runner_cfg.json", "trained_on.safetensors", "training_log.jsonl")
"""All that is read of a checkpoint, and all that is fetched of a repository."""

WIDEST = 2**31 - 1
"""Most that any width of a dictionary may be: products of larger ones are of no file, and may not even be printable."""

MODEL = "model"
"""Where a training run leaves its dictionary, inside its own folder."""

PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of files that run what they hold when they are read."""

_HUB = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?P<inside>(?:/[^/@]+)*)/?(?:@(?P<revision>[^@]+))?")


class Found(NamedTuple):
    """A checkpoint's folder."""

    folder: Path
    source: str
    """What it was asked for as."""
    revision: str | None = None
    """The hub's commit; None of a local folder."""


def find(source: str | Path) -> Found:
    """Return the folder of a checkpoint: a local one, or `owner/repo[/subfolder][@revision]` on the hub, fetched to its cache.

    What exists locally is meant before a repository of the same name. A training run's folder stands for its `model/`.

    Raises:
        CheckpointError: there is no checkpoint of that name, in one line that says where there is one, if that is known.
    """
    path = Path(source)
    if isinstance(source, Path) or (source and path.exists()):  # an empty text would be the working folder
        return Found(_folder(path), str(source))
    hub = _HUB.fullmatch(source)
    if hub is None or path.suffix in PICKLES:
        raise _missing(source)
    folder, revision = _fetched(hub["repo"], hub["inside"].strip("/"), hub["revision"], source)
    return Found(folder, source, revision)


def sha256(folder: Path) -> str:
    """Return the hash of the files that a dictionary is made of: the factor that rows take too, where one is needed."""
    config = json.loads((folder / CONFIG_FILE).read_bytes())
    unfolded = isinstance(config, dict) and config.get("normalize_activations") == UNFOLDED
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE, *([SCALER_FILE] if unfolded and (folder / SCALER_FILE).is_file() else [])):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# Local folders


def _folder(path: Path) -> Path:
    """Return the folder of the checkpoint that a local path names."""
    if path.is_file():
        if path.suffix in PICKLES:
            raise _pickled(path)
        raise CheckpointError(f"'{path}' is a file. Give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.")
    if not path.is_dir():
        raise _missing(path)
    folder = _checkpoint_in(path)
    if folder is None:
        raise CheckpointError(f"'{path}' has no {CONFIG_FILE}. {_elsewhere(path)}")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            pickles = sorted(file for file in folder.iterdir() if file.suffix in PICKLES)
            if pickles and name == WEIGHTS_FILE:
                raise _pickled(pickles[0])
            raise CheckpointError(f"'{folder}' has no {name}. A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}.")
    if is_pickled(folder / WEIGHTS_FILE):
        raise _pickled(folder / WEIGHTS_FILE)
    return folder


def _checkpoint_in(folder: Path) -> Path | None:
    """Return the folder itself or its `model/`, whichever holds a part of a checkpoint; None where neither does."""
    for candidate in (folder, folder / MODEL):
        if any((candidate / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE)):
            return candidate
    return None


def _missing(source: str | Path) -> CheckpointError:
    return CheckpointError(
        f"No checkpoint folder at '{source}'. Give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, "
        "or owner/repo[/subfolder][@revision] on the hub."
    )


def _pickled(path: Path) -> CheckpointError:
    return CheckpointError(
        f"'{path}' is a pickle, which runs code when it is read; Atlas never unpickles. Save the weights as {WEIGHTS_FILE}."
    )


def _elsewhere(folder: Path) -> str:
    """Return where the checkpoints of a folder that is none may be: in a work folder or a training run, they lie deeper."""
    for depth in ("*", "*/*"):
        # What a killed run left half written is hidden.
        files = [file for file in folder.glob(f"{depth}/{CONFIG_FILE}") if not file.parent.name.startswith(".")]
        if inside := _by_age(file.parent for file in files):
            break
    else:
        return f"A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
    if len(inside) == 1:
        return f"There is a checkpoint in '{inside[0]}': name that."
    names = [one.relative_to(folder).as_posix() for one in inside]
    return f"It holds {len(inside)} checkpoints: {_some(names)}. Name one of them, such as '{inside[-1]}'."


def _by_age(folders: Iterable[Path]) -> list[Path]:
    """Return folders that are named after how far a training was (samples, `final_` at its end), the furthest last."""

    def age(folder: Path) -> tuple[bool, int, str]:
        digits = re.sub(r"\D", "", folder.name)
        return folder.name.startswith("final"), int(digits or 0), str(folder)

    return sorted(folders, key=age)


def _some(names: list[str]) -> str:
    """Return names in one line, the last of many only."""
    return ", ".join(names) if len(names) <= 8 else f"…, {', '.join(names[-8:])}"


# The hub


def _fetched(repo: str, inside: str, revision: str | None, source: str) -> tuple[Path, str]:
    """Return the folder of a repository's checkpoint in the hub's cache, and the commit it is of."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    patterns = [f"{escape(part)}/{name}".lstrip("/") for part in (inside, f"{inside}/{MODEL}") for name in FILES]
    which = f"'{repo}'" + (f" at '{revision}'" if revision else "")
    here = f"There is no folder '{source}'"
    try:
        snapshot = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise CheckpointError(f"The repository '{repo}' is gated: ask for access on the hub, then `hf auth login`.") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{here}, and no repository '{repo}' on the hub, or a private one. Mend the name, or `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"The repository '{repo}' has no revision '{revision}'. Name a branch, a tag or a commit."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        raise CheckpointError(
            f"{here}, {which} is not in the hub's cache, and {why}. Name a local folder, or fetch it where there is a network."
        ) from error
    except Exception as error:  # the hub's library raises those of its network library too, which changed with its version
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{which} cannot be fetched from the hub: {type(error).__name__}: {reason}") from error
    commit = snapshot.name
    folder = _checkpoint_in(snapshot / inside)
    if folder is None:
        raise CheckpointError(
            f"{which} has no {CONFIG_FILE}{f' in {inside!r}' if inside else ''}. {_there(repo, commit, snapshot)}"
        )
    return _folder(folder), commit


def _there(repo: str, commit: str, snapshot: Path) -> str:
    """Return which folders of a repository hold checkpoints, as far as the hub, or else its cache, says so."""
    from huggingface_hub import list_repo_files

    try:
        files = [Path(name) for name in list_repo_files(repo, revision=commit)]
        known = "It has"
    except Exception:  # as above; that there is no checkpoint is known already, so what is in the cache will do
        files = [file.relative_to(snapshot) for file in snapshot.rglob(CONFIG_FILE)]
        known = "Its cache has"
    folders = _by_age(file.parent for file in files if file.name == CONFIG_FILE)
    if not folders:
        return f"A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
    names = [f"{repo}/{folder.as_posix()}" if folder != Path() else repo for folder in folders]
    return f"{known} {'one' if len(names) == 1 else len(names)} elsewhere: {_some(names)}."


def is_pickled(path: Path) -> bool:
    """Return whether a file begins as pickles do: one by itself, or in the zip archive that torch and numpy put it in."""
    with path.open("rb") as file:
        start = file.read(9)
    # The first eight bytes of a safetensors file are a length, and may be any.
    return start[8:] != b"{" and start.startswith((b"PK\3\4", b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"))


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a checkpoint.

    Raises:
        CheckpointError: it is not JSON, holds something else, or a text that is not Unicode.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        # JSON can spell half of a surrogate pair, which would stop whatever writes it as UTF-8.
        json.dumps(stored, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("unicode_escape").decode()
        raise CheckpointError(f"'{path}' holds half a character ({half}), which no text has. Take it out.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not JSON: {error}.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"'{path}' holds a {type(stored).__name__}; a JSON object is needed.")
    return stored


def shapes(d_in: int, n_experts: int, d_expert: int, d_code: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors that the weights of a SMIXAE are, by name."""
    return {
        "W_enc": (d_in, n_experts * d_expert),
        "b_enc": (n_experts * d_expert,),
        "W_bottleneck": (n_experts, d_expert, d_code),
        "W_latent_dec": (n_experts, d_code, d_expert),
        "W_dec": (n_experts * d_expert, d_in),
        "b_dec": (d_in,),
    }
