"""Texts with their entities in, HTML out: coloured text, legend, counts, table. All user text is escaped here.

Knows nothing of models and components; `results.js` handles mouse and keyboard.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from ..words_jpt import split_words

UNSURE = 0.5  # entities with lower scores are dashed
MAX_ROWS = 500
OTHER_COLOUR = "#dddddd"
EMPTY = '<p class="jpt-empty">{}</p>'
COLUMNS = (("type", "Type"), ("text", "Text"), ("score", "Score"), ("start", "Start"), ("end", "End"))

Entities = Sequence[Mapping[str, Any]]


def ink(colour: str) -> str:
    """Black or white, whichever contrasts more with a colour: at least 4.5 to 1 for any colour."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))
    return "#000000" if luminance > 0.179 else "#ffffff"


def _paint(colours: Mapping[str, str], name: str) -> str:
    colour = colours.get(name, OTHER_COLOUR)
    return f"--type:{escape(colour)};--ink:{ink(colour)}"


def legend(entities: Entities, colours: Mapping[str, str]) -> str:
    """The candidate types in their colours, with counts; those that were found are buttons."""
    counts = Counter(entity["entity_group"] for entity in entities)
    chips = []
    for name in colours:
        shown = f'{escape(name)} <span class="jpt-count">{counts[name]}</span>'
        if counts[name]:
            chips.append(
                f'<button type="button" class="jpt-chip" data-type="{escape(name)}" aria-pressed="false" '
                f'title="Show only these" style="{_paint(colours, name)}">{shown}</button>'
            )
        else:
            chips.append(f'<span class="jpt-chip jpt-chip-none" style="{_paint(colours, name)}">{shown}</span>')
    return f'<div class="jpt-legend" role="group" aria-label="Types and how many of each">{"".join(chips)}</div>'


def highlight(
    text: str, entities: Entities, colours: Mapping[str, str], marks: Mapping[int, str] | None = None
) -> str:
    """
    The text with its entities as boxes, nested ones inside each other; every word can be explained.

    Args:
        text (`str`): The text.
        entities: As the pipeline returns them; they may overlap in any way.
        colours (`Mapping[str, str]`): Colour by type.
        marks (`Mapping[int, str]`, *optional*): Classes for some entities, by their position.
    """
    if not text.strip():
        return EMPTY.format("The text is empty.")
    pieces: list[str] = []
    opened: list[int] = []  # positions of entities, outer ones first
    words = split_words(text)
    word_at = {start: number for number, (start, _) in enumerate(words)}
    ends = [end for _, end in words]
    starting, ending = _by_boundaries(entities)
    word, word_end = None, 0
    for start, end in pairwise(sorted({0, len(text), *starting, *ending, *word_at, *ends})):
        _close(pieces, opened, ending.get(start, ()), entities, colours, marks)
        for position in starting.get(start, ()):
            pieces.append(_open_mark(position, entities[position], colours, marks))
            opened.append(position)
        if start in word_at:
            word, word_end = word_at[start], ends[word_at[start]]
        shown = escape(text[start:end])
        if word is not None and start < word_end:
            focus = "0" if word == 0 else "-1"
            pieces.append(f'<span class="jpt-word" data-word="{word}" tabindex="{focus}">{shown}</span>')
        else:
            pieces.append(shown)
    _close(pieces, opened, list(opened), entities, colours, marks)
    label = "Text with entities. Arrow keys go from word to word, Enter explains one."
    return f'<div class="jpt-text" dir="auto" role="group" aria-label="{label}">{"".join(pieces)}</div>'


def _by_boundaries(entities: Entities) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Positions of the entities by start, longer ones first, and by end."""
    starting: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    order = sorted(range(len(entities)), key=lambda i: (entities[i]["start"], -entities[i]["end"]))
    for position in order:
        starting.setdefault(entities[position]["start"], []).append(position)
        ending.setdefault(entities[position]["end"], []).append(position)
    return starting, ending


def _close(
    pieces: list[str],
    opened: list[int],
    ended: Iterable[int],
    entities: Entities,
    colours: Mapping[str, str],
    marks: Mapping[int, str] | None,
) -> None:
    """Closes entities. HTML elements cannot cross, so one that continues is closed and reopened."""
    ended = set(ended)
    reopened: list[int] = []
    while ended & set(opened):
        position = opened.pop()
        if position in ended:
            pieces.append(f'<span class="jpt-label">{escape(entities[position]["entity_group"])}</span></mark>')
        else:
            pieces.append("</mark>")
            reopened.insert(0, position)
    for position in reopened:
        pieces.append(_open_mark(position, entities[position], colours, marks, continued=True))
        opened.append(position)


def _open_mark(
    position: int,
    entity: Mapping[str, Any],
    colours: Mapping[str, str],
    marks: Mapping[int, str] | None,
    continued: bool = False,
) -> str:
    classes = ["jpt-entity"]
    classes += ["jpt-unsure"] if entity["score"] < UNSURE else []
    classes += ["jpt-continued"] if continued else []
    classes += [marks[position]] if marks and position in marks else []
    name = entity["entity_group"]
    return (
        f'<mark class="{" ".join(classes)}" data-entity="{position}" data-start="{entity["start"]}" '
        f'data-end="{entity["end"]}" data-type="{escape(name)}" data-score="{entity["score"]:.4f}" '
        f'style="{_paint(colours, name)}">'
    )


def chart(entities: Entities, colours: Mapping[str, str]) -> str:
    """Counts per type as bars, most frequent first."""
    counts = Counter(entity["entity_group"] for entity in entities)
    if not counts:
        return EMPTY.format("Counts per type appear here.")
    most = max(counts.values())
    bars = "".join(
        f'<li><span class="jpt-bar-name">{escape(name)}</span><span class="jpt-bar-track" aria-hidden="true">'
        f'<span class="jpt-bar" style="width:{100 * count / most:.1f}%;{_paint(colours, name)}"></span></span>'
        f'<span class="jpt-bar-count">{count}</span></li>'
        for name, count in counts.most_common()
    )
    return f'<ol class="jpt-bars" aria-label="Entities per type">{bars}</ol>'


def table(entities: Entities, colours: Mapping[str, str]) -> str:
    """A row for each entity, the first `MAX_ROWS` of them; `table.js` sorts it by any column."""
    if not entities:
        return EMPTY.format("Every entity gets a row here: type, text, score and place.")
    head = "".join(
        f'<th scope="col" aria-sort="{"ascending" if key == "start" else "none"}"><button type="button" '
        f'data-column="{key}">{title}</button></th>'
        for key, title in COLUMNS
    )
    rows = "".join(_row(entity, colours) for entity in entities[:MAX_ROWS])
    more = len(entities) - MAX_ROWS
    note = f'<p class="jpt-note">{more} more are in the downloads.</p>' if more > 0 else ""
    return (
        '<div class="jpt-scroll" tabindex="0" role="region" aria-label="Entities as a table">'
        f'<table class="jpt-grid"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'
    )


def _row(entity: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    name = escape(entity["entity_group"])
    return (
        f'<tr data-start="{entity["start"]}" data-end="{entity["end"]}" data-type="{name}" '
        f'data-score="{entity["score"]:.4f}"><td><span class="jpt-swatch" style="{_paint(colours, entity["entity_group"])}">'
        f'</span>{name}</td><td class="jpt-cell-text" dir="auto">{escape(entity["word"])}</td>'
        f"<td>{entity['score']:.2f}</td><td>{entity['start']}</td><td>{entity['end']}</td></tr>"
    )
