"""The report in a real browser, as a person uses it.

Runs where playwright is installed (it is in the extra `test`) and there is a Chromium: on the PATH,
or named by GROUNDING_SDK_CHROMIUM. A browser cannot be installed by pip alone, so it is skipped
elsewhere.
"""

from __future__ import annotations

import io
import json
import os
import shutil

import numpy as np
import PIL.Image
import pytest
from review_jobs import EVIL, small_job

from grounding_sdk.cli import main
from grounding_sdk.formats import Annotated, Object
from grounding_sdk.labeling import HUMAN, Ledger
from grounding_sdk.labeling.report import write_report

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("GROUNDING_SDK_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: install one, or name it by GROUNDING_SDK_CHROMIUM"
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tool:
        # As root, and in containers with little shared memory, Chromium starts in no other way.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def job(tmp_path):
    return small_job(tmp_path)


@pytest.fixture
def new_page(browser):
    """Opens pages without a network; they may not complain, nor ask for more than files."""
    contexts = []

    def open_report(place, script=""):
        context = browser.new_context(offline=True, viewport={"width": 1000, "height": 700})
        contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        return watched(page, place)

    yield open_report
    for context in contexts:
        for page in context.pages:
            assert page.complaints == []
            assert all(url.startswith(("file:", "blob:")) for url in page.asked)
        context.close()


@pytest.fixture
def page(new_page, job, tmp_path):
    return new_page(write_report(job, tmp_path / "out"))


def watched(page, place):
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(place.as_uri())
    page.wait_for_selector(".card")
    return page


def cards(page):
    return page.locator(".card .name").all_inner_texts()


def wait_for_cards(page, count):
    playwright.expect(page.locator(".card")).to_have_count(count, timeout=60_000)


def open_card(page, name):
    page.locator(".card", has_text=name).first.click()
    page.wait_for_selector("#stage svg .object, #stage svg image")


def pixel(page, row, column):
    """What the screen shows at a place of a picture of the job."""
    place = page.evaluate(
        """([x, y]) => {
            const svg = document.querySelector("#stage svg");
            const point = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
            return [point.x, point.y];
        }""",
        [column, row],
    )
    with PIL.Image.open(io.BytesIO(page.screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))[round(place[1]), round(place[0])].astype(int)


def downloaded(page, folder):
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "job & co-decisions.json"
    path = folder / "decisions.json"
    download.value.save_as(path)
    return path


def test_a_person_filters_looks_decides_and_applies(page, job, tmp_path):
    assert cards(page)[:2] == ["rivals.png", "low/score.png"]
    page.select_option("[name=label]", "cat")
    wait_for_cards(page, 3)
    assert set(cards(page)) == {"rivals.png", "a good one.png", "by a person.png"}

    # Masks: all together, and one by one
    open_card(page, "a good one.png")
    middle = {"dog": (45, 60), "cat": (60, 25)}
    bare = {"dog": (200, 60, 60), "cat": (60, 90, 200)}
    tinted = {name: pixel(page, *place) for name, place in middle.items()}
    page.keyboard.press("m")
    assert page.locator("#masks").get_attribute("aria-pressed") == "false"
    for name, place in middle.items():
        assert np.abs(pixel(page, *place) - bare[name]).max() <= 3
        assert np.abs(tinted[name] - bare[name]).max() > 20
    page.click("#masks")
    page.click("[aria-label='Hide object 1']")
    assert np.abs(pixel(page, *middle["dog"]) - bare["dog"]).max() <= 3
    assert np.abs(pixel(page, *middle["cat"]) - tinted["cat"]).max() <= 3
    page.click("[aria-label='Show object 1']")
    assert np.abs(pixel(page, *middle["dog"]) - tinted["dog"]).max() <= 3

    # One is rejected, another gets a label that nobody has used
    page.click("[aria-label='Reject object 1']")
    page.fill("[aria-label='Label of object 2']", "lynx")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tag >> text=lynx")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer", state="hidden")
    page.wait_for_selector(".card.changed >> text=lynx")
    assert page.inner_text("#decided") == "1 picture decided"

    ledger_before = list(job)
    file = downloaded(page, tmp_path)
    assert main(["review", str(job.folder), "--apply", str(file)]) == 0
    entry = Ledger.open(job.folder).get("a good one.png")
    assert entry.fingerprint == HUMAN
    assert [(each.label, each.box) for each in entry.row.objects] == [("lynx", (13, 48, 38, 73))]
    changed = [each for each in Ledger.open(job.folder) if each not in ledger_before]
    assert [each.item for each in changed] == ["a good one.png"]


def test_keys_decide_on_whole_pictures_and_a_reload_loses_nothing(page, job, tmp_path):
    open_card(page, "rivals.png")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("r")
    page.keyboard.press("Enter")  # accepts the picture, which leaves the dog, and goes on
    page.wait_for_selector("#viewer-name >> text=low/score.png")
    page.wait_for_selector("#objects [data-row='0']")
    page.keyboard.press("R")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#reject[aria-pressed=true]")

    page.reload()
    page.wait_for_selector(".card.rejected >> text=low/score.png")
    assert page.inner_text("#decided") == "2 pictures decided"
    page.select_option("[name=status]", "decided")
    wait_for_cards(page, 2)

    assert main(["review", str(job.folder), "--apply", str(downloaded(page, tmp_path))]) == 0
    ledger = Ledger.open(job.folder)
    assert [each.label for each in ledger.get("rivals.png").row.objects] == ["dog"]
    assert ledger.get("low/score.png").error == "rejected in review"

    # The next report shows what was applied, and asks for nothing again.
    write_report(ledger, tmp_path / "out")
    page.reload()
    page.wait_for_selector(".card.person >> text=rivals.png")
    assert page.inner_text("#decided") == "Nothing decided yet"


def test_filters_by_score_flag_and_words(page):
    page.fill("[name=high]", "0.5")
    wait_for_cards(page, 1)
    assert cards(page) == ["low/score.png"]
    page.click("button[type=reset]")
    wait_for_cards(page, 6)
    page.select_option("[name=flag]", "overlap")
    wait_for_cards(page, 1)
    assert cards(page) == ["rivals.png"]
    page.fill("[name=text]", "nobody")
    page.wait_for_selector("text=No picture passes these filters.")
    page.click("button[type=reset]")
    page.select_option("[name=order]", "name")
    playwright.expect(page.locator(".card .name").nth(1)).to_have_text("a good one.png")
    assert cards(page)[1:3] == ["a good one.png", "by a person.png"]
    assert cards(page)[-1] == "rivals.png"


def test_markup_in_names_labels_and_reasons_is_text(page, job, tmp_path):
    assert page.title() == "job & co · review"
    page.fill("[name=text]", "ÜNÏ")
    wait_for_cards(page, 1)
    open_card(page, "ünï")
    assert page.locator("#stage .tag text").text_content() == f"{EVIL} 0.70"
    assert page.input_value("[aria-label='Label of object 1']") == EVIL
    page.click("[aria-label='Accept object 1']")
    page.keyboard.press("Escape")
    page.click("#failures summary")
    assert page.locator("#failures td").all_inner_texts() == [
        "broken <b>.png",
        "it is <i>empty</i>",
    ]
    assert page.title() == "job & co · review"
    assert page.locator("main script, dialog script, main b, td i").count() == 0

    items = json.loads(downloaded(page, tmp_path).read_text("utf-8"))["items"]
    assert items[0]["objects"][0]["label"] == EVIL
    assert main(["review", str(job.folder), "--apply", str(tmp_path / "decisions.json")]) == 0


def test_everything_can_be_reached_and_is_named(page):
    """Without a mouse: a card is opened, a label changed, and the focus comes back to the card."""
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#objects [data-row='0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("l")
    assert page.evaluate("document.activeElement.value") == "dog"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer", state="hidden")
    assert page.evaluate("document.activeElement.className").startswith("card")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select")].filter((each) =>
            !each.innerText.trim() && !each.ariaLabel && !each.labels?.length).length"""
    )
    assert unnamed == 0


def test_nothing_is_wider_than_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    for look in (lambda: None, lambda: open_card(page, "rivals.png")):
        look()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_of_very_many_pictures_cards_are_made_as_they_are_needed(new_page, tmp_path):
    rows = [Annotated(f"{i:03}.png", (5, 5), (Object("dog", (1, 1, 4, 4)),)) for i in range(500)]
    page = new_page(write_report(rows, tmp_path / "out"))
    assert page.inner_text("#count") == "500 pictures"
    # One page of cards or two: the browser may ask for the second before it has laid out the first.
    assert page.locator(".card").count() <= 240
    while (made := page.locator(".card").count()) < 500:
        page.mouse.wheel(0, 100_000)
        page.locator(".card").nth(made).wait_for(state="attached")
    page.locator(".card").last.click()
    page.wait_for_selector("#viewer-name >> text=499.png")
    page.wait_for_selector("#objects [data-row='0']")


def test_a_browser_that_keeps_nothing_says_so(new_page, job, tmp_path):
    place = write_report(job, tmp_path / "out")
    page = new_page(place, "Storage.prototype.setItem = () => { throw new Error('full'); };")
    open_card(page, "rivals.png")
    page.click("[aria-label='Accept object 1']")
    page.keyboard.press("Escape")
    page.wait_for_selector("#notice >> text=download your decisions")
    items = json.loads(downloaded(page, tmp_path).read_text("utf-8"))["items"]
    assert [each["item"] for each in items] == ["rivals.png"]
