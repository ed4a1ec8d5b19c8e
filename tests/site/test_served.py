"""The first page over HTTP, under the policy that a host sends; and the page of a reader who has switched scripts off."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from atlas.publish.headers import Headers, config_path
from atlas.publish.serving import serving
from synthetic import MONTHS, synthetic_tables

pytestmark = pytest.mark.browser
TABLES = synthetic_tables()
STATS = TABLES["expert_stats"]
IMPORTANCE = dict(zip(STATS["expert"], STATS["importance"], strict=True))
ALL = sorted(IMPORTANCE, key=lambda expert: (-IMPORTANCE[expert], expert))
"""Every expert, in the list's first order."""
REPORT = """addEventListener("securitypolicyviolation", (event) =>
  globalThis.atlasViolation(`${event.effectiveDirective} ${event.blockedURI}`));"""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, with the headers that a host would send: below a path, since a host's root is one of those."""
    with serving(site.parent, Headers.read(config_path())) as server:
        yield f"{server.url}{site.name}/index.html"


@pytest.fixture
def served(browser: Browser, address: str) -> Iterator[Page]:
    """A page that fails its test on a script error, a breach of its policy, or a request to anything but the site."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    complaints: list[str] = []
    context.expose_binding("atlasViolation", lambda _source, violation: complaints.append(violation))
    context.add_init_script(REPORT)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(error.message))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    folder = address.removesuffix("index.html")
    host = folder.removesuffix("site/")
    ours = (folder, "data:", f"blob:{host}")
    page.on("request", lambda request: None if request.url.startswith(ours) else complaints.append(request.url))
    page.on("response", lambda response: complaints.append(response.url) if response.status >= 400 else None)
    yield page
    context.close()
    assert complaints == []


def fires_on(month: str, least: float = 0.5) -> set[int]:
    """Return the experts that fire on at least half of a month's rows."""
    rows = TABLES["label_stats"]
    told = zip(rows["task"], rows["label"], rows["expert"], rows["fires"], strict=True)
    return {expert for task, label, expert, fires in told if (task, label) == (1, MONTHS.index(month)) and fires >= least}


def shown(page: Page) -> list[int]:
    """Return the numbers of the experts in the list, from their links."""
    links = page.get_by_role("list", name="Experts").get_by_role("listitem").locator("a[href*='/expert/']").all()
    found = (re.search(r"/expert/(\d+)", link.get_attribute("href") or "") for link in links)
    return list(dict.fromkeys(int(one[1]) for one in found if one))


def test_the_hosts_policy_comes_with_the_page(served: Page, address: str) -> None:
    answer = served.goto(address)

    assert answer
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'self'" in policy


def test_the_first_page_opens_searches_filters_and_downloads(served: Page, address: str) -> None:
    served.goto(address)
    count = served.get_by_role("status").filter(has_text="expert")
    expect(count).to_contain_text(str(len(ALL)))
    expect(served.get_by_role("link", name=re.compile(rf"^{ALL[0]}\b")).first).to_be_visible()
    assert shown(served) == ALL

    box = served.get_by_role("searchbox", name="Search experts")
    box.fill("in order")
    ordered = [row[0] for row in zip(TABLES["titles"]["expert"], TABLES["titles"]["title"], strict=True) if "in order" in row[1]]
    expect(count).to_contain_text(re.compile(rf"\b{len(ordered)} of"))
    assert set(shown(served)) == set(ordered)

    box.fill("")
    served.goto(f"{address}#/?label=months:September&sort=number")
    found = sorted(fires_on("September"))
    expect(count).to_contain_text(re.compile(rf"\b{len(found)} of"))
    assert shown(served) == found

    with served.expect_download() as downloading:
        served.get_by_role("button", name="Download as CSV").click()
    rows = list(csv.reader(Path(downloading.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [int(row[rows[0].index("expert")]) for row in rows[1:]] == found


def test_a_link_to_an_expert_opens_its_page_and_leads_back(served: Page, address: str) -> None:
    served.goto(f"{address}#/expert/{ALL[2]}")
    expect(served.get_by_role("heading", name=re.compile(f"^Expert {ALL[2]}"))).to_be_visible()
    served.locator("[data-scene][data-ready]").wait_for()

    served.get_by_role("link", name="All experts").first.click()
    expect(served.get_by_role("list", name="Experts")).to_be_visible()


@pytest.mark.parametrize("way", ["disk", "HTTP"])
def test_without_scripts_the_page_says_what_it_is_and_lists_experts(way: str, browser: Browser, site: Path, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address if way == "HTTP" else (site / "index.html").as_uri())

    expect(page.get_by_role("heading", level=1)).to_contain_text("Atlas of")
    # Playwright takes what stands in a <noscript> for hidden when it goes by role or text.
    without = page.locator("noscript")
    expect(without.locator("p").filter(has_text="need JavaScript")).to_be_visible()
    rows = without.locator("tbody th[scope=row]")
    expect(rows.first).to_be_visible()
    assert [int(text) for text in rows.all_inner_texts()] == ALL[:100]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Nothing asks to be pressed that would not answer.
    expect(page.locator("button:visible, input:visible, select:visible, [role=application]:visible")).to_have_count(0)
    context.close()
