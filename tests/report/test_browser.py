"""The page in a real browser: no errors, no requests, every figure drawn; light, dark and phone."""

from __future__ import annotations

import copy
import shutil

import pytest

from truejoule.report import available, page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
READY = "document.documentElement.dataset.drawn"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


class Seen:
    """A page that notes every complaint and every request."""

    def __init__(self, browser, path, width=1440, scheme="light"):
        self.tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda m: self.complaints.append(m.text))
        self.tab.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.tab.on("dialog", lambda d: (self.complaints.append(f"dialog {d.message}"), d.dismiss()))
        self.tab.on("request", lambda r: self.requests.append(r.url))
        self.tab.goto(path.as_uri())
        self.tab.wait_for_function(READY, timeout=60_000)

    def check(self, figures: int) -> None:
        assert self.complaints == []
        assert [u for u in self.requests if not u.startswith(("file:", "data:"))] == []
        drawn = "[...document.querySelectorAll('.plot')].filter(b => b.offsetParent && b.querySelector('svg, canvas')?.getBoundingClientRect().width > 100).length"
        assert self.tab.evaluate(drawn) == figures
        assert self.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light")])
def test_every_figure_is_drawn(browser, evaluation, tmp_path, width, scheme):
    path = tmp_path / "report.html"
    path.write_text(page([evaluation]), encoding="utf-8")
    Seen(browser, path, width, scheme).check(len(available(evaluation)))


def test_hostile_names_do_nothing(browser, hostile, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page([hostile]), encoding="utf-8")
    Seen(browser, path).check(len(available(hostile)))


def test_filters_sorting_tabs_and_downloads(browser, evaluation, tmp_path):
    path = tmp_path / "report.html"
    other = copy.deepcopy(evaluation)
    other["title"] = "Other"
    path.write_text(page([evaluation, other]), encoding="utf-8")
    seen = Seen(browser, path)
    tab = seen.tab
    tab.select_option("[data-filters=ledger-e0] [data-filter=component]", "adc")
    rows = [r for r in evaluation["ledger"] if r["component"] == "adc"]
    share = 100 * sum(r["total_j"] for r in rows) / evaluation["energy_j"]
    assert (
        tab.inner_text("[data-filters=ledger-e0] output")
        == f"{len(rows)} of {len(evaluation['ledger'])} rows, {share:.1f} % of the energy"
    )
    tab.click("#ledger-e0 th:nth-child(4) button")
    assert tab.get_attribute("#ledger-e0 th:nth-child(4)", "aria-sort") == "descending"
    with tab.expect_download() as download:
        tab.click("[data-csv=e0-area]")
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("component,instances,area_m2,total_m2") and len(lines) == 1 + len(
        evaluation["floorplan"]
    )
    tab.focus("#tab-e0")
    tab.keyboard.press("ArrowRight")
    tab.set_viewport_size({"width": 1000, "height": 900})
    tab.click("#tab-e0")
    tab.wait_for_timeout(1500)
    seen.check(3 + len(available(evaluation)))
