"""The whole path without faults, once for all tests of faults."""

from __future__ import annotations

import pytest
from harness import Reference, reference


@pytest.fixture(scope="session")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """What it left."""
    return reference(tmp_path_factory.mktemp("reference"))
