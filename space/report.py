"""Screenshots and timings of the Space: `python -m jpt_ner.space.report screenshots` and `measure`.

Both start the Space with the shipped model on the loopback interface, and need Chromium (`make browser`).
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer

from ..atomic_jpt import atomic_file
from .browser import ROOT, keep_local, launch_browser, start_space

MAX_BYTES = 150_000
COLOURS = (256, 128, 64)
WAIT = 300_000  # milliseconds
TEXT_WORDS = 100
TYPES = 8
# Presses the button and waits until another text than before is on the screen, with entities. Milliseconds.
CLICK_TO_HIGHLIGHT = """
() => new Promise((done, fail) => {
  const place = document.querySelector('#jpt-highlight');
  const before = place.querySelector('.jpt-text').textContent;
  const look = () => {
    const text = place.querySelector('.jpt-text');
    if (!text || text.textContent === before || !text.querySelector('mark')) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  };
  const watch = new MutationObserver(look);
  watch.observe(place, { childList: true, subtree: true });
  const start = performance.now();
  document.querySelector('#jpt-run').click();
  setTimeout(() => fail(new Error('no other text was highlighted within a minute')), 60000);
})
"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


# ---- screenshots ----------------------------------------------------------------------------------------------------


@app.command()
def screenshots(
    folder: Annotated[Path, typer.Argument(help="Where to put the pictures.")] = ROOT / "docs" / "images",
) -> None:
    """Takes pictures of the main states, small PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    with start_space() as address, launch_browser() as browser:
        for name, (size, dark, prepare) in STATES.items():
            with _page(browser, address, size, dark) as page:
                prepare(page)
                page.mouse.move(0, 0)
                page.wait_for_timeout(700)  # until transitions and the check of the types are finished
                picture = _small(page.screenshot())
            path = folder / f"space-{name}.png"
            path.write_bytes(picture)
            typer.echo(f"{path}: {len(picture) / 1e3:.0f} kB")


class _page:
    """An open page whose model is loaded."""

    def __init__(self, browser, address: str, size: tuple[int, int] = (1280, 900), dark: bool = False):
        width, height = size
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        keep_local(self._context)
        self._address = address

    def __enter__(self):
        page = self._context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(self._address)
        page.get_by_text("Model ready").wait_for()
        return page

    def __exit__(self, *_) -> None:
        self._context.close()


def _find(page) -> None:
    page.click("#jpt-run")
    page.locator("#jpt-highlight mark").first.wait_for()


def _why(page) -> None:
    _find(page)
    page.locator("#jpt-highlight .jpt-word", has_text="Portuguese").click()
    page.locator("#jpt-why .jpt-view").first.wait_for()
    _to_top(page, "#jpt-highlight")


def _compare(page) -> None:
    page.click("#jpt-tab-compare-button")
    page.click("#jpt-compare-run")
    page.locator("#jpt-compare-result .jpt-compared").first.wait_for()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")


def _files(page) -> None:
    page.click("#jpt-tab-files-button")
    rows = [json.dumps({"id": text[:24], "text": text}) for text in _sample_texts()[:3]] + ['{"id": "no text"}']
    file = {"name": "articles.jsonl", "mimeType": "", "buffer": "\n".join(rows).encode()}
    page.set_input_files("#jpt-batch-file input[type=file]", file)
    page.wait_for_function("document.querySelector('#jpt-batch-column input').value === 'text'")
    page.click("#jpt-batch-run")
    page.locator("#jpt-batch-report .jpt-summary").wait_for()


def _narrow(page) -> None:
    _find(page)
    _to_top(page, "#jpt-highlight")


def _to_top(page, place: str) -> None:
    """Scrolls an element near the top, with some space above it."""
    page.locator(place).evaluate("e => window.scrollTo(0, e.getBoundingClientRect().top + scrollY - 180)")


WIDE, PHONE = (1280, 900), (390, 844)
STATES: dict[str, tuple[tuple[int, int], bool, Callable[[Any], None]]] = {
    "find": (WIDE, False, _find),
    "find-dark": (WIDE, True, _find),
    "why": (WIDE, False, _why),
    "files": (WIDE, False, _files),
    "compare": (WIDE, False, _compare),
    "narrow": (PHONE, False, _narrow),
}


def _small(png: bytes) -> bytes:
    """The picture in as many colours as fit in `MAX_BYTES`."""
    from PIL import Image

    picture = Image.open(BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        stream = BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if stream.tell() <= MAX_BYTES:
            break
    return stream.getvalue()


# ---- timings --------------------------------------------------------------------------------------------------------


@app.command()
def measure(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the table to a Markdown file.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Page loads, and clicks.")] = 10,
    users: Annotated[int, typer.Option(min=1, help="Who use the page at once.")] = 20,
    requests: Annotated[int, typer.Option(min=1, help="Texts that each of them sends, one after the other.")] = 3,
    crowd: Annotated[int, typer.Option(min=1, help="Texts sent in one moment.")] = 100,
) -> None:
    """Times page loads, click to highlight, many users at once and a crowd."""
    lines = [
        "# How fast the Space answers\n",
        f"Written by `python -m jpt_ner.space.report measure`; {platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores, page, browser and all users on the same machine.\n",
        "| what | measured |",
        "|---|---|",
    ]
    typer.echo("\n".join(lines))
    for name, value in _measured(repeats, users, requests, crowd):
        lines.append(f"| {name} | {value} |")
        typer.echo(lines[-1])
    if output is not None:
        with atomic_file(output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _measured(repeats: int, users: int, requests: int, crowd: int) -> Iterator[tuple[str, str]]:
    from ..schema_jpt import resolve_schema
    from ..tools.loading import load_pipeline

    types = {each.name: each.definition for each in resolve_schema("general").entity_types[:TYPES]}
    texts = _texts(repeats + users * requests)
    pipeline = load_pipeline(device="cpu")
    pipeline(texts[0], entity_types=types)
    expected, alone = {}, []
    for text in texts:
        start = time.perf_counter()
        expected[text] = pipeline(text, entity_types=types)
        alone.append(time.perf_counter() - start)
    del pipeline
    yield f"the pipeline itself, {TEXT_WORDS} words, {TYPES} types, warm", _spread(alone)
    with start_space() as address:
        with launch_browser() as browser:
            yield from _time_page(browser, address, types, texts[:repeats])
        yield from _time_users(address, types, expected, texts[repeats:], users)
        yield from _time_crowd(address, types, expected, texts, crowd)


def _time_page(browser, address: str, types: dict[str, str], texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    loads = []
    for _ in range(1 + len(texts)):
        start = time.perf_counter()
        with _page(browser, address):
            loads.append(time.perf_counter() - start)
    yield "page load right after the start, until the model is loaded, too", f"{loads.pop(0):.2f} s"
    yield "page load, nothing in the browser's cache, until it can be used", _spread(loads)
    with _page(browser, address) as page:
        schema = json.dumps({"entity_types": types}).encode()
        with page.expect_file_chooser() as chooser:
            page.click("#jpt-import")
        chooser.value.set_files({"name": "types.json", "mimeType": "application/json", "buffer": schema})
        page.wait_for_function(f"document.querySelectorAll('#jpt-types .jpt-type').length === {len(types)}")
        _find(page)
        clicks = []
        for text in texts:
            page.fill("#jpt-text textarea", text)
            clicks.append(page.evaluate(CLICK_TO_HIGHLIGHT) / 1000)
    yield f"click to highlight, {TEXT_WORDS} words, {TYPES} types, warm", _spread(clicks)


def _time_users(
    address: str, types: dict[str, str], expected: dict[str, list], texts: Sequence[str], users: int
) -> Iterator[tuple[str, str]]:
    from gradio_client import Client

    clients = [Client(address, verbose=False) for _ in range(users)]

    def use(number: int) -> list[tuple[float, str, Any]]:
        answers = []
        for text in texts[number::users]:
            start = time.perf_counter()
            try:
                answer: Any = clients[number].predict(text, types, api_name="/tag")
            except Exception as error:  # a refusal is an answer, too
                answer = error
            answers.append((time.perf_counter() - start, text, answer))
        return answers

    start = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        answers = [each for some in pool.map(use, range(users)) for each in some]
    total = time.perf_counter() - start
    yield f"{users} users at once, {len(texts)} texts: an answer", _spread([seconds for seconds, _, _ in answers])
    yield "texts a second, all users together", f"{len(texts) / total:.1f}"
    yield "answers, and how they are", _judged([(text, answer) for _, text, answer in answers], expected)


def _time_crowd(
    address: str, types: dict[str, str], expected: dict[str, list], texts: Sequence[str], crowd: int
) -> Iterator[tuple[str, str]]:
    from gradio_client import Client

    client = Client(address, verbose=False, max_workers=crowd)
    sent = [texts[number % len(texts)] for number in range(crowd)]

    def ask(text: str) -> tuple[float, str, Any]:
        start = time.perf_counter()
        try:
            answer: Any = client.predict(text, types, api_name="/tag")
        except Exception as error:
            answer = error
        return time.perf_counter() - start, text, answer

    with ThreadPoolExecutor(crowd) as pool:
        answers = list(pool.map(ask, sent))
    yield f"{crowd} texts in one moment", _judged([(text, answer) for _, text, answer in answers], expected)
    refused = [(seconds, answer) for seconds, _, answer in answers if isinstance(answer, Exception)]
    if refused:
        yield "what those read that are refused", f"“{str(refused[0][1]).strip(chr(39))}”"
        yield "until they read it", _spread([seconds for seconds, _ in refused])


def _judged(answers: Sequence[tuple[str, Any]], expected: dict[str, list]) -> str:
    """Numbers of answers that equal the pipeline's, were refused, belong to another text, or differ otherwise."""
    counts = {"as the pipeline's": 0, "refused": 0, "of another text": 0, "different": 0}
    for text, answer in answers:
        if isinstance(answer, Exception):
            counts["refused"] += 1
        elif any(text[each["start"] : each["end"]] != each["word"] for each in answer):
            counts["of another text"] += 1
        else:
            same = _spans(answer) == _spans(expected[text])
            counts["as the pipeline's" if same else "different"] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _spans(entities: Sequence[dict]) -> list[tuple]:
    return [(each["entity_group"], each["start"], each["end"]) for each in entities]


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return f"median {statistics.median(ordered):.2f} s, 95 % within {last:.2f} s, most {ordered[-1]:.2f} s"


def _sample_texts() -> list[str]:
    files = sorted((ROOT / "samples").glob("*.jsonl"))
    return [json.loads(row)["text"] for path in files for row in path.read_text(encoding="utf-8").splitlines()]


def _texts(count: int) -> list[str]:
    """Different texts of `TEXT_WORDS` words each, cut from the samples, each with its number as first word."""
    words = " ".join(_sample_texts()).split()
    starts = [7 * number % len(words) for number in range(count)]
    words *= 2 + TEXT_WORDS // len(words)
    return [" ".join([f"#{number}", *words[at : at + TEXT_WORDS - 1]]) for number, at in enumerate(starts)]


if __name__ == "__main__":
    app()
