"""What text a dictionary was trained on, beside its weights: token counts, and which documents."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from atlas.sealed import read_arrays, readable

TRAINED_ON_FILE = "trained_on.safetensors"


class TrainedOn(NamedTuple):
    """The text that the rows of a training came from."""

    vocabulary: Int64[np.ndarray, "vocabulary"]
    """Occurrences of each token id among the rows."""
    documents: UInt64[np.ndarray, "document"]
    """Hashes of the documents that rows were read from, in order."""
    sha256: str
    """Of the file that says so."""

    def includes(self, identity: int) -> bool:
        """Return whether rows were read from the document of this hash."""
        at = int(np.searchsorted(self.documents, np.uint64(identity)))
        return at < len(self.documents) and int(self.documents[at]) == identity


def trained_on(checkpoint: Path) -> TrainedOn | None:
    """Return what a checkpoint was trained on; None where it does not say.

    Raises:
        StageDamaged: what it says cannot be read, or is not what was written.
    """
    path = checkpoint / TRAINED_ON_FILE
    if not path.is_file():
        return None
    mend = "Copy the checkpoint again, or train again."
    stored = read_arrays(path, mend)
    with readable(path, mend):
        counts, documents = stored["counts"], stored["documents"]
    return TrainedOn(counts, np.sort(documents.astype(np.uint64)), hashlib.sha256(path.read_bytes()).hexdigest())
