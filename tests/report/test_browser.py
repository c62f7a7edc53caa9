"""The page of a report in a real browser: Chromium of the system, or that of Playwright."""

import csv
import io
import shutil
import struct
import xml.etree.ElementTree

import pytest

from rlexp.report.__main__ import main
from tests.report.files import bench_of, rising, write_run

pytestmark = pytest.mark.extras
playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            found = started.chromium.launch(executable_path=own, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no Chromium (apt install chromium, or playwright install chromium): {str(error)[:200]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two rates in two environments, a failed and a running run."""
    folder = bench_of(tmp_path_factory.mktemp("report"))
    write_run(folder / "90-failed", None, 9, state="failed", algo__learning_rate=0.001)
    write_run(folder / "91-running", None, 8, state="running", curve=rising(99.0, 8), algo__learning_rate=0.001)
    main([str(folder)])
    return folder


@pytest.fixture
def opened(browser, folder):
    """Return a function that opens the page; whatever it complains of, or loads, fails the test."""
    contexts, complaints, requests = [], [], []

    def open_page(path=folder / "report.html", width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def lines(page, place="#curve-plots"):
    """Return how many lines of curves are drawn."""
    return page.locator(f"{place} figure.plot:visible svg.drawn path.line").count()


def saved(page, button):
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_curves_scores_and_comparisons_are_drawn(opened):
    page = opened()
    assert page.locator("#curve-plots figure.plot:visible").count() == 2
    assert lines(page) == 4
    assert page.locator("#curve-plots path.area").count() == 4
    for place, least in (("#score-plots", 12), ("#chance-plot", 0), ("#profile-plot", 0), ("#time-plot", 0)):
        box = page.locator(f"{place} svg.drawn").first.bounding_box()
        assert box["width"] > 250
        assert box["height"] > 60
        assert page.locator(f"{place} svg.drawn circle").count() >= least
    texts = page.locator("#curve-plots .axis text").all_text_contents()
    assert "800" in texts
    assert page.locator("#time-plot svg.drawn g rect").count() == 3 * 4


def test_a_group_is_hidden_and_shown_by_the_keyboard(opened):
    page = opened()
    button = page.locator("#legend button").first
    assert button.get_attribute("aria-pressed") == "true"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert lines(page) == 2
    assert page.locator("#score-table tbody tr:visible").count() == 4  # tables hold it still
    page.reload()  # as while following
    assert lines(page) == 2
    page.locator("#legend button").first.focus()
    page.keyboard.press("Space")
    assert lines(page) == 4


def test_tables_are_sorted_by_their_headers(opened):
    page = opened()
    header = page.locator("#score-table thead th", has_text="mean")
    column = [cell.strip() for cell in page.locator("#score-table thead th").all_text_contents()].index("mean")
    means = page.locator(f"#score-table tbody tr > :nth-child({column + 1})")
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert means.all_text_contents() == ["102.0", "152.0", "202.0", "252.0"]
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert means.all_text_contents() == ["252.0", "202.0", "152.0", "102.0"]
    page.locator("#run-table thead th", has_text="score").locator("button").click()
    scores = [cell.split()[0] for cell in page.locator("#run-table tbody tr > :nth-child(7)").all_text_contents()]
    assert scores[0] == "101.0"
    assert scores[-2:] == ["-", "-"]  # what has none comes last


def test_the_filter_leaves_what_matches(opened):
    page = opened()
    page.fill("#filter", "acrobot rate=0.01")
    expect(page.locator("#curve-plots figure.plot:visible")).to_have_count(1)
    assert lines(page) == 1
    assert page.locator("#score-table tbody tr:visible").count() == 1
    assert page.locator("#run-table tbody tr:visible").count() == 3
    page.fill("#filter", "failed")
    expect(page.locator("#score-plots figure.plot:visible")).to_have_count(0)
    assert page.locator("#run-table tbody tr:visible").count() == 1
    assert "it broke" in page.locator("#run-table tbody tr:visible").text_content()


def test_another_scalar_axis_and_smoothing(opened):
    page = opened()
    before = page.locator("#curve-plots path.line").first.get_attribute("d")
    page.locator("#smooth").fill("5")
    expect(page.locator("#curve-plots path.line").first).not_to_have_attribute("d", before)
    assert page.locator("#smooth-text").text_content() == "11 points"
    page.select_option("#axis", "seconds")
    page.wait_for_selector("#curve-plots text.label:has-text('wall time (seconds)')")
    page.select_option("#scalar", "evaluations")
    page.wait_for_selector("#curve-plots text.label:has-text('evaluations')")
    assert lines(page) == 4
    page.uncheck("#band")
    expect(page.locator("#curve-plots path.area")).to_have_count(0)


def test_hovering_and_arrow_keys_show_the_values_at_a_step(opened):
    page = opened()
    plot = page.locator("#curve-plots svg.drawn").first
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60)
    tip = page.locator("#curve-plots .tip").first
    assert tip.is_visible()
    assert "learning_rate=0.01:" in tip.text_content()
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    plot.focus()
    page.keyboard.press("End")
    text = tip.text_content()
    assert text.startswith("environment steps 1,000")
    assert "learning_rate=0.01: 152 (151 to 153), 3 runs" in text
    page.keyboard.press("ArrowLeft")
    assert tip.text_content().startswith("environment steps 982")
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_dark_and_light(opened):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = opened(), opened(scheme="dark")
    assert light.evaluate(background) == "rgb(255, 255, 255)"
    assert dark.evaluate(background) == "rgb(18, 22, 28)"
    assert dark.locator("#theme").get_attribute("aria-pressed") == "true"
    light.click("#theme")
    assert light.evaluate(background) == "rgb(18, 22, 28)"
    light.reload()
    assert light.evaluate(background) == "rgb(18, 22, 28)"


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_page_does_not_scroll_sideways(opened, width):
    page = opened(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = (
        f"(all) => all.filter((one) => !one.closest('table') && one.getBoundingClientRect().right > {width}).length"
    )
    assert page.locator(".plot, .scroll, select, input, button").evaluate_all(beyond) == 0
    assert page.locator("#run-table").evaluate(
        "(table) => table.parentElement.scrollWidth > table.parentElement.clientWidth"
    )


def test_pictures_and_numbers_are_saved(opened):
    page = opened()
    figure = page.locator("#curve-plots figure.plot").first
    name, content = saved(page, figure.locator("button", has_text="SVG"))
    assert name == "curve-CartPole-v1-Rewards-rew_avg.svg"
    root = xml.etree.ElementTree.fromstring(content)
    paths = [one for one in root.iter("{http://www.w3.org/2000/svg}path") if one.get("stroke", "none") != "none"]
    assert {path.get("stroke") for path in paths} == {"rgb(0, 114, 178)", "rgb(213, 94, 0)"}  # needs no style sheet
    name, content = saved(page, figure.locator("button", has_text="PNG"))
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 600
    assert height > 400
    assert len(content) > 5000
    _, content = saved(page, figure.locator("button", has_text="CSV"))
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert len(rows) == 2 * 19
    last = [row for row in rows if row["environment steps"] == "1000"]
    assert [(row["group"], row["value"], row["runs"]) for row in last] == [
        ("learning_rate=0.001", "102", "3"), ("learning_rate=0.01", "152", "3"),
    ]  # fmt: skip


def test_tables_are_saved_as_they_are_shown(opened):
    page = opened()
    for section, rows in (("scores", 5), ("compare", 2), ("runs", 15), ("settings", 5)):
        _, content = saved(page, page.locator(f"#{section} > .tools button"))
        assert len(content.decode().splitlines()) == rows
    page.fill("#filter", "Acrobot")
    expect(page.locator("#score-table tbody tr:visible")).to_have_count(2)
    _, content = saved(page, page.locator("#scores > .tools button"))
    assert [row["mean"] for row in csv.DictReader(io.StringIO(content.decode()))] == ["202.0", "252.0"]


@pytest.mark.parametrize("place", ["#score-plots", "#chance-plot", "#profile-plot", "#time-plot"])
def test_every_plot_is_saved(opened, place):
    page = opened()
    _, content = saved(page, page.locator(f"{place} button", has_text="CSV").first)
    assert len(content.decode().splitlines()) > 1
    _, content = saved(page, page.locator(f"{place} button", has_text="PNG").first)
    assert content.startswith(b"\x89PNG")
    assert len(content) > 2000


def test_text_of_strangers_runs_no_script(opened, tmp_path):
    hostile = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    write_run(tmp_path / "a", 1.0, 1, env_id=hostile, curve=rising(1.0), algo__gamma=hostile)
    write_run(tmp_path / "b", 2.0, 1, env_id=hostile, curve=rising(1.0), algo__gamma=f"=cmd {hostile}",
              summary={"error": hostile})  # fmt: skip
    main([str(tmp_path)])
    page = opened(tmp_path / "report.html")
    page.locator("#curve-plots svg.drawn").focus()
    page.keyboard.press("End")
    assert hostile in page.locator("#curve-plots .tip").text_content()
    assert page.evaluate("window.hacked") is None
    _, content = saved(page, page.locator("#score-plots button", has_text="SVG").first)
    xml.etree.ElementTree.fromstring(content)


def test_a_video_beside_the_page_is_loaded_when_it_is_played(opened, tmp_path):
    """It is no film: that its bytes were asked for and refused as one is all that can be seen without a codec."""
    write_run(tmp_path / "a", 1.0, 1, videos=["test/step-1.mp4"])
    main([str(tmp_path)])
    page = opened(tmp_path / "report.html")
    video = page.locator("video")
    assert video.evaluate("(video) => video.networkState") in (0, 1)  # nothing is loaded before
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    video.evaluate("(video) => video.play().catch(() => null)")
    page.wait_for_selector("video")
    assert (
        video.evaluate("(one) => new Promise((done) => setTimeout(() => done(one.error && one.error.code), 1000))") == 4
    )
    assert any(url.endswith("a/videos/test/step-1.mp4") for url in asked)


def test_runs_without_metrics_are_a_page_too(opened, tmp_path):
    write_run(tmp_path / "a", None, 1, state="failed")
    (tmp_path / "a" / "metrics.csv").unlink()
    main([str(tmp_path)])
    page = opened(tmp_path / "report.html")
    assert "No run has a metrics.csv with rows." in page.locator("#curves").text_content()
    assert "it broke" in page.locator("#run-table").text_content()
