"""A temporary folder for what is made anew to compare with."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atlas.errors import OutputOccupied, StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder that is gone afterwards.

    Raises:
        StorageError: the temporary folder cannot hold what is written there; that is no fault of what is verified.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="atlas-verify-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _cannot_hold(error.strerror or str(error)) from error
    with made as folder:
        try:
            yield Path(folder)
        except (OutputOccupied, StorageError) as error:
            cause = error.__cause__
            raise _cannot_hold((cause.strerror if isinstance(cause, OSError) else None) or str(cause or error)) from error
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise _cannot_hold(error.strerror or str(error)) from error


def _cannot_hold(reason: str) -> StorageError:
    place = tempfile.tempdir or "of the system"
    return StorageError(
        f"The temporary folder '{place}' cannot hold what is made anew to compare with: {reason}. "
        "Make room there, or name another with the variable TMPDIR, and verify again."
    )
