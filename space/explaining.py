"""Why a word was or was not marked, as HTML: the probabilities of its tokens in both heads, type by type, and what its second
copy attends to in the first."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from ..tools.attention import AttentionMap, attention_map
from ..words_jpt import split_words
from .highlighting import OTHER_COLOUR

SHOWN_TYPES = 6
HINT = '<p class="jpt-empty">Click a word in the text, or go to it with the arrow keys and press Enter.</p>'
OUTSIDE = "none of the types"


def attention_of(pipeline: Any, reading: Any) -> AttentionMap | None:
    """Attention between both copies of a reading's text; `None` if it is too long, or the model reads texts once."""
    try:
        return attention_map(pipeline, reading.text, reading.schema)
    except ValueError:
        return None


def why(reading: Any, number: Any, colours: Mapping[str, str], attention: AttentionMap | None = None) -> str:
    """
    The probabilities of a word's tokens, and of the word, which are their means.

    Args:
        reading (`pipeline_jpt.Reading`): The model's probabilities for the text.
        number: The word's number in the text, counted from 0, as [`highlight`] gives it.
        colours (`Mapping[str, str]`): Colour by type.
        attention (`AttentionMap`, *optional*): Of the text, to show what the word attends to.
    """
    words = [] if reading is None else split_words(reading.text)
    if not isinstance(number, int) or not 0 <= number < len(words):
        return HINT
    start, end = words[number]
    starts, ends = reading.offsets.T
    tokens = np.flatnonzero((starts < end) & (ends > start) & (starts < ends))
    word = reading.text[start:end]
    if not len(tokens):
        return f'<p class="jpt-empty">The model has no token for “{escape(word)}”.</p>'
    views = [(f"whole word: {word}", tokens)] if len(tokens) > 1 else []
    views += [(reading.text[starts[i] : ends[i]].strip() or "space", tokens[j : j + 1]) for j, i in enumerate(tokens)]
    tabs = "".join(
        f'<button type="button" class="jpt-token" aria-pressed="{str(i == 0).lower()}" data-view="{i}">{escape(name)}</button>'
        for i, (name, _) in enumerate(views)
    )
    tables = "".join(_view(reading, rows, colours, hidden=i > 0) for i, (_, rows) in enumerate(views))
    return (
        f'<p class="jpt-why-title">“<b dir="auto">{escape(word)}</b>” is read as {_tokens(len(tokens))}</p>'
        f'<div class="jpt-tokens" role="group" aria-label="Tokens">{tabs}</div>{tables}'
        '<p class="jpt-note"><b>Against each other</b>: the softmax head shares 100 % among all types and none. '
        "<b>On its own</b>: the sigmoid head asks of each type, yes or no. Flat entities are read from the mean of "
        "both, overlapping ones from the second head.</p>"
        f"{'' if attention is None else _attended(attention, start, end)}"
    )


def _attended(attention: AttentionMap, start: int, end: int) -> str:
    """The text, each token as strongly marked as the word's second reading attends to it in the first."""
    starts, ends = attention.offsets.T
    own = (starts < end) & (ends > start) & (starts < ends)
    weights = attention.weights[own].mean(0)
    others = weights[~own & (starts < ends)]
    strongest = max(float(others.max()), 1e-6) if len(others) else 1.0
    parts, place = [], 0
    for first, last, weight in zip(starts.tolist(), ends.tolist(), weights.tolist(), strict=True):
        if first < place or first == last:
            continue  # a further byte of the same character
        token = attention.text[first:last]
        strength = min(1.0, weight / strongest)
        parts.append(
            f'{escape(attention.text[place:first])}<span style="--w:{100 * strength:.0f}%" title="{weight:.3f}">'
            f"{escape(token)}</span>"
        )
        place = last
    return (
        '<p class="jpt-why-title">In the second copy it attends to, in the first:</p>'
        f'<p class="jpt-attended" dir="auto">{"".join(parts)}{escape(attention.text[place:])}</p>'
        '<p class="jpt-note">Mean over all layers and heads; the stronger the colour, the more attention. The text after the '
        "word counts too: that is why it is read twice.</p>"
    )


def _tokens(number: int) -> str:
    return "one token" if number == 1 else f"{number} tokens"


def _view(reading: Any, rows: np.ndarray, colours: Mapping[str, str], hidden: bool) -> str:
    softmax, sigmoid = reading.softmax[rows].mean(0), reading.sigmoid[rows].mean(0)
    mean = reading.probabilities[rows].mean(0)
    names = [OUTSIDE, *reading.schema.names]
    order = [0, *(1 + np.argsort(-mean[1:], kind="stable"))[:SHOWN_TYPES].tolist()]
    lines = "".join(
        f'<tr data-type="{escape(names[i])}"><th scope="row"><span class="jpt-swatch" '
        f'style="--type:{escape(colours.get(names[i], OTHER_COLOUR)) if i else "transparent"}"></span>{escape(names[i])}</th>'
        f"{_bar(softmax[i])}{_bar(sigmoid[i - 1]) if i else '<td></td>'}<td class='jpt-mean'>{mean[i]:.2f}</td></tr>"
        for i in order
    )
    left = len(names) - len(order)
    note = f'<p class="jpt-note">{left} less probable types are left out.</p>' if left else ""
    return (
        f'<div class="jpt-view"{" hidden" if hidden else ""}><table class="jpt-why-grid"><thead><tr><th scope="col">Type</th>'
        '<th scope="col" title="Softmax head">Against each other</th><th scope="col" title="Sigmoid head">On its own</th>'
        f'<th scope="col">Mean</th></tr></thead><tbody>{lines}</tbody></table>{note}</div>'
    )


def _bar(value: float) -> str:
    return (
        f'<td><span class="jpt-probability" style="--p:{100 * value:.1f}%"><span class="jpt-probability-bar" '
        f'aria-hidden="true"></span>{value:.2f}</span></td>'
    )
