from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atlas.bake.link import Link
from atlas.bake.looked_at import looked_at
from atlas.errors import ConfigError
from atlas.store import Store
from synthetic import Size, write_synthetic


@pytest.fixture(scope="module")
def more_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("linked") / "atlas.duckdb", size=Size(more_tasks=True))


def test_a_link_says_how_a_cloud_is_seen() -> None:
    link = Link.read(
        "https://a.example/atlas/#/expert/12?colour=my+task%3Anorm&seen=gate&camera=1_2_3_0_0_0_0_1_0_1.6&pin=7&only=May&only=June&join=1"
    )
    camera = "1_2_3_0_0_0_0_1_0_1.6"
    assert link == Link(12, "my task:norm", view="gate", camera=camera, pin="7", only=("May", "June"), join=True)


def test_a_link_has_the_task_that_the_list_was_narrowed_by() -> None:
    assert Link.read("#/expert/0") == Link(0)
    assert Link.read("#/expert/0?task=numbers&label=months:May") == Link(0, task="months")
    assert Link.read("#/expert/0?task=numbers&colour=months") == Link(0, "months", "numbers")


@pytest.mark.parametrize(
    ("colour", "task", "shown"),
    [
        (None, None, "numbers"),
        (None, "months", "months"),
        ("nonsense", "months", "months"),
        (None, "seasons", "numbers"),
        ("months:norm", "numbers", "months:norm"),
        ("months:template", None, "months:template"),
        ("months:nonsense", None, "months"),
        ("synthetic:label", None, "synthetic"),
        ("synthetic:token", None, "synthetic:token"),
    ],
)
def test_a_link_is_read_as_its_page_reads_it(more_tasks: Path, colour: str | None, task: str | None, shown: str) -> None:
    with Store(more_tasks) as store:
        link = Link(1, colour, task, only=("May",))
        assert looked_at(store, link) == replace(link, colour=shown)
        assert looked_at(store, Link(999, colour, task)) == Link(999, colour, task)


@pytest.mark.parametrize("text", ["", "12", "#/", "#/beside/1/2", "https://a.example/expert/12", "#/expert/-1", "#/expert/٣"])
def test_an_address_of_another_page_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="leads to no expert's page"):
        Link.read(text)
