from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from synthetic import kind, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


def test_a_cluster_says_what_its_name_rests_on_and_leads_to_list_map_and_experts(open_at: Open) -> None:
    tables = synthetic_tables()
    places = [
        int(expert)
        for expert, cluster in zip(tables["overview"]["expert"], tables["overview"]["cluster"], strict=True)
        if cluster == 0
    ]
    [named] = tables["overview_clusters"]["named"][:1]
    page = open_at("#/cluster/0")
    expect(page.get_by_role("heading", level=2)).to_have_text("Cluster: Months")
    expect(page.locator("[data-cluster-says]")).to_have_text(
        f"{named} of its {len(places)} experts have the title that it is named after."
    )
    cards = page.get_by_role("list", name="Experts of the cluster").get_by_role("listitem")
    expect(cards).to_have_count(len(places))
    numbers = [int(number) for number in cards.locator("b").all_inner_texts()]
    assert sorted(numbers) == sorted(places)
    importance = dict(zip(tables["expert_stats"]["expert"], tables["expert_stats"]["importance"], strict=True))
    assert numbers == sorted(numbers, key=lambda expert: (-importance[expert], expert))
    shapes = page.get_by_role("table").filter(has_text="Shape").get_by_role("row")
    assert sum(int(row.locator("td").last.inner_text()) for row in shapes.all()[1:]) == len(places)
    assert {kind(expert) for expert in places} == {"ring", "task"}

    page.get_by_role("link", name=f"Show all {len(places)} in the list").click()
    expect(page.get_by_role("status").filter(has_text=f"{len(places)} of")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Show it on the map").click()
    page.wait_for_url("**/*place=*")
    expect(page.get_by_label("Map", exact=True).or_(page.locator('[data-map-part="canvas"]')).first).to_be_visible()


def test_another_cluster_is_chosen_and_one_that_is_not_there_is_said(open_at: Open) -> None:
    page = open_at("#/cluster/7")
    expect(page.get_by_role("alert")).to_have_text(
        "This atlas has no cluster of that number. Its map has 2, from 0: choose one above, or go back to the list."
    )
    page.get_by_role("combobox", name="Cluster", exact=True).select_option(index=1)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("heading", level=2)).to_contain_text("<script>alert(1)")
    expect(page.locator("[data-cluster-says]")).to_contain_text("on one of the tokens that it is named after")
