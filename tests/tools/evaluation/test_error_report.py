"""The error report as a file and in a real browser: every error in it, nothing of users as markup, nothing fetched."""

import json
import xml.dom.minidom
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpt_ner.space.browser import find_chromium, launch_browser
from jpt_ner.tools.data.records import Entity, Record
from jpt_ner.tools.evaluation.confusion_plot import confusion_svg
from jpt_ner.tools.evaluation.error_report import ErrorReport, error_page, write_error_report
from jpt_ner.tools.evaluation.errors import ConfusionMatrix, analyse_text

EVIL = "<img src=x onerror='window.hacked=1'>"
TEXT = f'Ada <b>met</b> Bob & {EVIL}</article><script>window.hacked=2</script> in "Rome" 🙂 today'
TYPES = {f"person{EVIL}": "A human.", 'city"><script>window.hacked=3</script>': "A town."}
PERSON, CITY = TYPES


def place(word, label):
    start = TEXT.index(word)
    return Entity(start, start + len(word), label)


def found(word, label, score=0.5):
    each = place(word, label)
    return {"entity_group": label, "score": score, "word": word, "start": each.start, "end": each.end}


def analysed(predicted=None):
    texts = []
    for index in range(3):
        record = Record(
            f"{index}{EVIL}", TEXT, [place("Ada", PERSON), place("Bob", PERSON), place("Rome", CITY)], TYPES
        )
        given = [found("Ada", PERSON), found("Rome", PERSON), found("today", CITY)] if predicted is None else predicted
        texts.append(analyse_text("x/test", record, given))
    return texts


def report():
    return ErrorReport(f"Model {EVIL}", analysed(), f"Other {EVIL}", analysed(predicted=[found("Bob", PERSON)]))


class Shape(HTMLParser):
    """Tags of a document that could do something, and the text of every element `dd`."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.readings, self._inside, self._label = [], [], False, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "dd":
            self.readings.append("")
            self._inside = True
        self._label = self._label or dict(attributes).get("class") == "label"

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "dd"
        self._label = self._label and tag != "span"

    def handle_data(self, data):
        if self._inside and not self._label:
            self.readings[-1] += data


def test_page_shows_texts_as_they_are_and_nothing_of_users_as_markup():
    shape = Shape(error_page(report()))
    assert shape.readings == [TEXT] * 9  # gold and both systems
    names = [tag for tag, _ in shape.tags]
    assert names.count("script") == 1 and names.count("style") == 1
    assert not {"img", "link", "iframe", "object", "base"} & set(names)
    for _, attributes in shape.tags:
        assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in attributes)
        assert attributes.get("href", "#").startswith("#")


@settings(max_examples=40, deadline=None)
@given(
    st.text(
        st.sampled_from("ab <>&\"'é🙂") | st.characters(codec="utf-8", exclude_characters="\r\0"),
        min_size=1,
        max_size=20,
    ),
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 9), st.sampled_from(["a", "<b>"])), max_size=4),
)
def test_any_text_with_any_spans_is_drawn_as_it_is(text, places):
    spans = [(start, min(start + size, len(text)), label) for start, size, label in places if start < len(text)]
    entities = [
        {"entity_group": label, "score": None, "word": text[start:end], "start": start, "end": end}
        for start, end, label in spans
    ]
    record = Record("a", text, [Entity(0, 1, "a")], {"a": "x", "<b>": "y"})
    analysis = analyse_text("x", record, entities)
    readings = Shape(error_page(ErrorReport("m", [analysis]))).readings
    assert readings == ([text] * 2 if analysis.errors else [])


def test_files_hold_every_error(tmp_path):
    page, lines = write_error_report(report(), tmp_path / "report.html")
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert [row["kind"] for row in rows] == ["missed", "type", "spurious"] * 3
    assert [row["right_in_other"] for row in rows] == [True, False, True] * 3
    assert all(row["text"] == TEXT for row in rows)
    assert page.read_text(encoding="utf-8") == error_page(report())
    write_error_report(ErrorReport("m", analysed()), page)
    row = json.loads(lines.read_text(encoding="utf-8").splitlines()[0])
    assert "right_in_other" not in row


def test_a_report_without_mentions_or_errors_says_so():
    record = Record("a", "nothing here", [], TYPES)
    page = error_page(ErrorReport("m", [analyse_text("x", record, [])]))
    assert "No text has errors." in page and "There are no mentions." in page


def test_confusion_picture_is_well_formed_and_holds_all_counts():
    counts = np.array([[7, 2, 0], [0, 0, 1], [4, 0, 0]])
    svg = confusion_svg(ConfusionMatrix(["a<b>&", "long " * 20, "O"], counts))
    document = xml.dom.minidom.parseString(svg)
    drawn = [
        each.firstChild.data for each in document.getElementsByTagName("text") if each.getAttribute("class") == "count"
    ]
    assert sorted(map(int, drawn)) == sorted(counts[counts > 0].tolist())
    titles = [each.firstChild.data for each in document.getElementsByTagName("title")]
    assert "gold a<b>&, predicted O: 2 of 9" not in titles and any(
        "gold a<b>&, predicted a<b>&: 7 of 9" == each for each in titles
    )


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_report_in_a_browser(tmp_path):
    page_file, _ = write_error_report(report(), tmp_path / "report.html")
    wrong, asked = [], []
    with launch_browser() as browser:
        page = browser.new_page()
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        assert page.locator("#shown").inner_text() == "9 of 9 errors"
        page.select_option("#by-kind", "missed")
        assert page.locator("#shown").inner_text() == "3 of 9 errors"
        assert page.locator("#all-errors tbody tr:visible").count() == 3
        page.select_option("#by-kind", "")
        page.select_option("#by-type", CITY)
        assert page.locator("#shown").inner_text() == "6 of 9 errors"
        page.select_option("#by-type", "")
        page.fill("#by-words", "TODAY")  # beside Rome, too
        assert page.locator("#shown").inner_text() == "6 of 9 errors"
        page.fill("#by-words", "")
        page.locator("#all-errors a").first.click()
        assert page.evaluate("document.querySelector('article:target').querySelectorAll('dd').length") == 3
        marks = page.locator("article:target dd").first.locator("mark")
        assert [each.evaluate("e => e.firstChild.data") for each in marks.all()] == ["Ada", "Bob", "Rome"]
        assert page.locator("#confusion svg").bounding_box()["width"] > 50
        assert (
            marks.first.evaluate("e => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
        )  # style is in use
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert page.evaluate("window.hacked") is None
    assert wrong == []
    assert asked == [page_file.as_uri()]
