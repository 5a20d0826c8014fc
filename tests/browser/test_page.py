"""Everything a newcomer does on the page, in a real browser, with own pictures and sounds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

TASKS = ("ask", "classify", "caption", "sentiment")


def test_ask_and_ask_again(visit: Visit, files: Path) -> None:
    page = visit.page
    visit.give_picture("ask", files / "someone.png")
    page.fill("#ask-question textarea", "Is there a woman?")
    page.press("#ask-question textarea", "Enter")
    first = visit.answer("ask")
    page.fill("#ask-question textarea", "What color is the <b>suit</b>?")
    page.click("#ask-button")
    page.wait_for_selector("#ask-answer .mm-earlier")
    second = visit.answer("ask")

    assert "Is there a woman?" in first
    assert "%" in first
    assert "ask-base" in first
    assert "<b>suit</b>" in second
    assert "Is there a woman?" in second
    page.click("#ask-where")
    page.wait_for_selector("#ask-maps img")
    assert "heat map" in (page.get_attribute("#ask-maps img", "alt") or "")
    visit.shoot("ask")

    visit.give_picture("ask", files / "cat.jpg")
    page.wait_for_selector("#ask-answer .mm-empty")
    assert "Is there a woman?" not in page.inner_text("#ask-answer")


def test_classify_one_and_several(visit: Visit, files: Path, tmp_path: Path) -> None:
    page = visit.page
    visit.open_tab("classify")
    visit.give_picture("classify", files / "cat.jpg")
    page.fill("#classify-labels textarea", "cat, dog\n<img src=x onerror=alert(1)>")
    page.click("#classify-button")
    told = visit.answer("classify")

    assert "cat" in told
    assert "<img src=x" in told
    assert "none of these" in told
    page.click("#classify-where")
    page.wait_for_selector("#classify-maps img")
    visit.shoot("classify")

    page.click("#classify-several button")
    page.set_input_files(
        "#classify-files input[type=file]", [files / "cat.jpg", files / "someone.png", files / "broken.png"]
    )
    page.wait_for_selector("#classify-files >> text=broken")
    page.click("#classify-button")
    page.wait_for_selector("#classify-csv")
    with page.expect_download() as download:
        page.click("#classify-csv")
    path = tmp_path / "labels.csv"
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"cat.jpg", "someone.png", "broken.png"}
    assert rows["broken.png"]["error"]
    assert rows["cat.jpg"]["label"]
    visit.shoot("classify-several")


def test_ready_made_labels_and_refusals_in_words(visit: Visit, files: Path) -> None:
    page = visit.page
    visit.open_tab("classify")
    page.click("#classify-button")
    page.wait_for_selector("#classify-failure [role=alert]")
    visit.give_picture("classify", files / "cat.jpg")
    page.fill("#classify-labels textarea", "cat, Cat")
    page.click("#classify-button")
    page.wait_for_selector("#classify-failure >> text=more than once")
    assert page.input_value("#classify-labels textarea") == "cat, Cat"
    visit.shoot("classify-refused")

    page.click("#classify-ready input")
    page.get_by_role("option", name="Animals").click()
    page.wait_for_function("document.querySelector('#classify-labels textarea').value.includes('giraffe')")
    page.click("#classify-button")
    assert visit.answer("classify")
    assert page.locator("#classify-failure [role=alert]").count() == 0


def test_caption_word_by_word(visit: Visit, files: Path) -> None:
    page = visit.page
    visit.open_tab("caption")
    visit.give_picture("caption", files / "someone.png")
    page.click("#caption-button")
    told = visit.answer("caption")

    assert len(told.split()) > 5
    assert page.locator("#caption-answer .mm-earlier li").count() >= 1
    page.click("#caption-where")
    page.wait_for_selector("#caption-maps img")
    visit.shoot("caption")


def test_sentiment_of_an_uploaded_clip(visit: Visit, files: Path) -> None:
    page = visit.page
    visit.open_tab("sentiment")
    page.click("#sentiment-recording button[aria-label='Upload file']")
    page.set_input_files("#sentiment-recording input[type=file]", files / "long.wav")
    page.wait_for_selector("#sentiment-recording button.play-pause-button")
    page.click("#sentiment-button")
    visit.answer("sentiment")
    page.click("#sentiment-where")
    page.wait_for_selector("#sentiment-maps .mm-panel")
    visit.shoot("sentiment")


def test_silence_is_named(visit: Visit, files: Path) -> None:
    page = visit.page
    visit.open_tab("sentiment")
    page.click("#sentiment-recording button[aria-label='Upload file']")
    page.set_input_files("#sentiment-recording input[type=file]", files / "silence.wav")
    page.wait_for_selector("#sentiment-recording button.play-pause-button")
    page.click("#sentiment-button")

    assert "silent" in visit.answer("sentiment")


def test_recording_through_the_microphone(visit: Visit) -> None:
    page = visit.page
    visit.open_tab("sentiment")
    page.click("#sentiment-recording button.record-button")
    page.wait_for_timeout(2500)
    page.click("#sentiment-recording button.stop-button:visible")
    page.wait_for_selector("#sentiment-recording button.play-pause-button")
    page.click("#sentiment-button")

    assert visit.answer("sentiment")
    visit.shoot("sentiment-recorded")


@pytest.mark.parametrize("task", TASKS)
def test_examples_answer_with_one_click(visit: Visit, task: str) -> None:
    visit.open_tab(task)
    examples = visit.page.locator(f"#{task}-examples tbody tr, #{task}-examples .gallery-item")
    examples.first.wait_for()

    assert examples.count() >= 3
    examples.first.click()
    assert visit.answer(task)


def test_a_picture_that_is_none_is_refused_in_words(visit: Visit, files: Path) -> None:
    page = visit.page
    page.set_input_files("#ask-picture input[type=file]", files / "broken.png")
    page.fill("#ask-question textarea", "Is there a woman?")
    page.wait_for_timeout(1500)
    page.press("#ask-question textarea", "Enter")
    page.wait_for_selector("#ask-failure [role=alert]")

    assert "Traceback" not in page.inner_text("body")
    assert page.input_value("#ask-question textarea") == "Is there a woman?"


def test_the_card_is_one_click_away(visit: Visit) -> None:
    page = visit.page
    page.click("#card-ask button")
    page.wait_for_selector("#card-ask >> text=licence of the weights")

    assert "ask-base" in page.inner_text("#card-ask")
    visit.shoot("card")


@pytest.mark.parametrize("visit", ["phone", "dark", "phone-dark", "chinese"], indirect=True)
def test_every_tab_in_every_setting(visit: Visit, files: Path) -> None:
    page = visit.page
    dark: bool = page.evaluate("document.body.classList.contains('dark')")
    assert dark is ("dark" in visit.name)
    if visit.name == "chinese":
        assert page.inner_text("#tab-ask-button") == "提问"
    assert visit.overflow() <= 0
    visit.give_picture("ask", files / "someone.png")
    page.fill("#ask-question textarea", "Is there a woman?")
    page.press("#ask-question textarea", "Enter")
    told = visit.answer("ask")
    assert ("概率" in told) is (visit.name == "chinese")
    visit.shoot("ask")
    for task in TASKS[1:]:
        visit.open_tab(task)
        page.locator(f"#{task}-examples tbody tr, #{task}-examples .gallery-item").first.click()
        visit.answer(task)
        visit.shoot(task)
        assert visit.overflow() <= 0, task
        assert page.locator(f"#model-{task}").is_visible()
        assert not page.locator("#model-ask").is_visible()
