from __future__ import annotations

import pytest

from atlas.bake.link import Link
from atlas.errors import ConfigError


def test_a_link_says_how_a_cloud_is_seen() -> None:
    link = Link.read(
        "https://a.example/atlas/#/expert/12?colour=my+task%3Anorm&seen=gate&camera=1_2_3_0_0_0_0_1_0_1.6&pin=7&only=May&only=June&join=1"
    )
    assert link == Link(12, "my task:norm", "gate", "1_2_3_0_0_0_0_1_0_1.6", "7", ("May", "June"), (), join=True)


def test_a_link_without_a_colouring_has_the_task_that_the_list_was_narrowed_by() -> None:
    assert Link.read("#/expert/0") == Link(0)
    assert Link.read("#/expert/0?task=numbers&label=months:May").colour == "months"
    assert Link.read("#/expert/0?task=numbers").colour == "numbers"


@pytest.mark.parametrize("text", ["", "12", "#/", "#/beside/1/2", "https://a.example/expert/12", "#/expert/-1"])
def test_an_address_of_another_page_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="leads to no expert's page"):
        Link.read(text)
