"""Payloads: data as classic scripts, since a page opened from disk may load nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas.bake.folder import DATA

MANIFEST = "atlas"
"""The payload that the page starts with."""
DIGITS = 12
"""Of a payload's hash, in hexadecimal."""


class Payloads:
    """Writes payloads below one site folder and remembers what each is called."""

    def __init__(self, site: Path) -> None:
        self._data = site / DATA
        self._data.mkdir()
        self._hashes: dict[str, str] = {}
        self.written_bytes = 0

    def __len__(self) -> int:
        return len(self._hashes)

    def write(self, name: str, payload: Any) -> None:
        """Write a payload into a file named after its content."""
        self._hashes[name] = self._write(name, payload)

    def write_manifest(self, payload: dict[str, Any]) -> str:
        """Write the payload that the page starts with, together with the hash of every other one; return its path in the site."""
        digest = self._write(MANIFEST, {"files": _families(self._hashes), **payload})
        return f"{DATA}/{MANIFEST}.{digest}.js"

    def _write(self, name: str, payload: Any) -> str:
        content = _script(name, payload)
        digest = hashlib.sha256(content).hexdigest()[:DIGITS]
        path = self._data / f"{name}.{digest}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.written_bytes += len(content)
        return digest


def _families(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes by name; those of "name/0", "name/1" and so on without a gap end to end, under "name/"."""
    members: dict[str, dict[str, str]] = {}
    for name, digest in hashes.items():
        family, slash, member = name.rpartition("/")
        members.setdefault(family + slash, {})[member] = digest
    found: dict[str, str] = {}
    for family, of in members.items():
        numbered = [str(place) for place in range(len(of))]
        if family and set(of) == set(numbered):
            found[family] = "".join(of[member] for member in numbered)
        else:
            found |= {family + member: digest for member, digest in of.items()}
    return found


def _script(name: str, payload: Any) -> bytes:
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"atlas.receive({json.dumps(name)},{text});\n".encode()
