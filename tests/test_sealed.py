"""Files of the work folder come back as they were written, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.errors import StageDamaged
from atlas.sealed import read_about, read_arrays, read_json, write_arrays, write_json

ARRAYS = {
    "codes": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    "count": np.array(7),
    "fires": np.array([True, False]),
    "none": np.zeros((0, 3)),
}
VALUE = {"inputs": {"seed": 1, "rate": 0.1}, "texts": ["ü", "\x00", "\u2028"], "nothing": None}


def test_arrays_come_back_with_their_types_and_shapes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "work" / "a.safetensors", ARRAYS, {"about": "them"})

    found = read_arrays(tmp_path / "work" / "a.safetensors")

    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        name: (array.dtype, array.shape) for name, array in ARRAYS.items()
    }
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())
    assert read_about(tmp_path / "work" / "a.safetensors")["about"] == "them"


@pytest.mark.parametrize("value", [VALUE, {}, {"float": 1e300, "not a number": [float("inf")], "large": 2**70}])
def test_json_comes_back(value: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "work" / "a.json", value)

    assert read_json(tmp_path / "work" / "a.json") == value


def test_file_without_arrays_comes_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.safetensors", {})

    assert read_arrays(tmp_path / "a.safetensors") == {}


def says_the_same(read: Callable[[Path], Any], path: Path, before: Any) -> bool:
    """Whether a file is read as it was before; one that is refused must be so by name."""
    try:
        return bool(np.all([np.array_equal(read(path)[name], value) for name, value in before.items()]))
    except StageDamaged as error:
        assert str(error).startswith(f"'{path}' is damaged (")
        assert "\n" not in str(error)
        return False


def test_a_changed_bit_anywhere_in_arrays_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, ARRAYS, {"about": "them"})
    whole = path.read_bytes()

    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(StageDamaged):
            read_arrays(path)


def test_a_changed_bit_anywhere_in_json_is_found_or_says_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, VALUE)
    whole = path.read_bytes()

    unfound = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        unfound += says_the_same(read_json, path, VALUE)
    # Between the words of JSON a tab is as good as a space.
    assert unfound < 0.05 * len(whole)


@pytest.mark.parametrize("length", [0, 1, 0.5, -1], ids=["empty", "a byte", "half", "all but a byte"])
@pytest.mark.parametrize(
    ("write", "read", "value"), [(write_arrays, read_arrays, ARRAYS), (write_json, read_json, VALUE)], ids=["arrays", "json"]
)
def test_a_cut_file_is_refused(
    write: Callable[..., None], read: Callable[[Path], Any], value: Any, length: float, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    write(path, value)
    whole = path.read_bytes().rstrip(b"\n")
    path.write_bytes(whole[: int(length * len(whole)) if length == 0.5 else int(length)])

    with pytest.raises(StageDamaged, match=r"Delete the folder '.*' to run the stage again\."):
        read(path)


@pytest.mark.parametrize(("write", "read"), [(write_arrays, read_arrays), (write_json, read_json)], ids=["arrays", "json"])
def test_a_file_cannot_take_the_place_of_another(write: Callable[..., None], read: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path / "part-0-of-2", {})
    (tmp_path / "part-0-of-2").rename(tmp_path / "part-1-of-2")

    with pytest.raises(StageDamaged, match=r"its content is not what was written\)\. Copy it again\.$"):
        read(tmp_path / "part-1-of-2", "Copy it again.")
