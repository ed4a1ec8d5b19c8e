"""Payloads: data as classic scripts, since a page opened from disk may load nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from atlas.bake.folder import MANIFEST


class Payloads:
    """Writes payloads below one site folder and remembers what each is called."""

    def __init__(self, site: Path) -> None:
        self._data = site / MANIFEST.parent
        self._data.mkdir()
        self._hashes: dict[str, str] = {}
        self.written_bytes = 0

    def __len__(self) -> int:
        return len(self._hashes)

    def write(self, name: str, payload: Any) -> None:
        """Write a payload into a file named after its content."""
        content = _script(name, payload)
        self._hashes[name] = hashlib.sha256(content).hexdigest()[:12]
        self._write(self._data / f"{name}.{self._hashes[name]}.js", content)

    def write_manifest(self, payload: dict[str, Any]) -> None:
        """Write the payload that the page starts with, together with the hash of every other one, by name."""
        self._write(self._data / MANIFEST.name, _script("atlas", {"files": self._hashes, **payload}))

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.written_bytes += len(content)


def _script(name: str, payload: Any) -> bytes:
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"atlas.receive({json.dumps(name)},{text});\n".encode()
