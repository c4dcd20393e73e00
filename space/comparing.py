"""The tab Compare: two sets of definitions, or two thresholds, on one text, and where they differ.

Entities are matched one to one by `matching.match_spans`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..tools.evaluation import matching
from ..tools.evaluation.matching import Span, match_spans
from . import presets
from .editor import document_of, schema_of, type_editor
from .errors import PageError, TypesError
from .finding import QUIET, READING, Result, Update, error_line, find
from .highlighting import EMPTY, highlight, legend
from .model import Model
from .requests import MAX_TEXT_SECONDS, RequestLimit

SIDES = ("a", "b")
SAME, TYPE, BOUNDARIES, ONLY_A, ONLY_B = "same", "type", "boundaries", "only_a", "only_b"
KINDS = {
    matching.CORRECT: SAME,
    matching.TYPE: TYPE,
    matching.BOTH: TYPE,
    matching.BOUNDARY: BOUNDARIES,
    matching.MISSED: ONLY_A,
    matching.SPURIOUS: ONLY_B,
}
TITLES = {SAME: "the same", TYPE: "another type", BOUNDARIES: "other boundaries", ONLY_A: "only A", ONLY_B: "only B"}
NOTHING_YET = EMPTY.format("Press <b>Compare</b>, and both results appear here with their differences marked.")


def differences(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Pairs the entities of two results, in the order of the text.

    Returns:
        `list[dict]`: Each with `kind` (`"same"`, `"type"`: another type, whatever the boundaries; `"boundaries"`: the same
        type with other boundaries; `"only_a"`, `"only_b"`), and the entities `a` and `b`, one of which may be None.
    """
    matches = match_spans([_span(each) for each in a], [_span(each) for each in b])
    return [
        {
            "kind": KINDS[match.kind],
            "a": None if match.gold is None else a[match.gold],
            "b": None if match.predicted is None else b[match.predicted],
        }
        for match in matches
    ]


def _span(entity: Mapping[str, Any]) -> Span:
    return entity["start"], entity["end"], entity["entity_group"]


def comparison(result_a: Result, result_b: Result) -> str:
    """Both texts side by side, with what differs marked, and a list of the differences."""
    pairs = differences(result_a.entities, result_b.entities)
    sides = []
    for side, result in zip(SIDES, (result_a, result_b)):
        kinds = {id(pair[side]): pair["kind"] for pair in pairs if pair[side] is not None}
        marks = {
            position: "jpt-differs" for position, entity in enumerate(result.entities) if kinds[id(entity)] != SAME
        }
        sides.append(
            f'<section class="jpt-compared" aria-label="Result {side.upper()}"><h3>{side.upper()}</h3>'
            f"{legend(result.entities, result.colours)}"
            f"{highlight(result.reading.text, result.entities, result.colours, marks)}</section>"
        )
    differing = [pair for pair in pairs if pair["kind"] != SAME]
    same = len(pairs) - len(differing)
    summary = f'<p class="jpt-summary"><b>{same}</b> the same, <b>{len(differing)}</b> different</p>'
    return f'{summary}<div class="jpt-compared-both">{"".join(sides)}</div>{_list(differing, result_a, result_b)}'


def _list(pairs: list[dict[str, Any]], result_a: Result, result_b: Result) -> str:
    if not pairs:
        return EMPTY.format("Both find exactly the same entities.")
    rows = "".join(
        f'<tr data-kind="{pair["kind"]}"><td>{TITLES[pair["kind"]]}</td>{_cell(pair["a"], result_a.colours)}'
        f"{_cell(pair['b'], result_b.colours)}</tr>"
        for pair in pairs
    )
    return (
        '<div class="jpt-scroll" tabindex="0" role="region" aria-label="Differences"><table class="jpt-grid"><thead><tr>'
        '<th scope="col">Difference</th><th scope="col">A</th><th scope="col">B</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(entity: Mapping[str, Any] | None, colours: Mapping[str, str]) -> str:
    if entity is None:
        return '<td class="jpt-none">not found</td>'
    name = entity["entity_group"]
    return (
        f'<td><span class="jpt-swatch" style="--type:{escape(colours[name])}"></span><b dir="auto">'
        f"{escape(entity['word'])}</b> {escape(name)} {entity['score']:.2f}</td>"
    )


# ---- the tab --------------------------------------------------------------------------------------------------------


def compare_tab(model: Model, check, finding: SimpleNamespace) -> None:
    """Lays out the tab and connects it; `finding` has the components of the tab Find."""
    part = SimpleNamespace(types={}, threshold={}, preset={}, take={}, types_error={})
    gr.HTML(
        '<p class="jpt-lead">What does a better definition, or a higher threshold, change? The example asks for the same '
        "two types in two ways: <b>A</b> generic, <b>B</b> precise.</p>",
        apply_default_css=False,
    )
    with gr.Row(elem_classes="jpt-columns"):
        for side, value in zip(SIDES, (presets.GENERIC, presets.PRECISE)):
            with gr.Column(min_width=320, elem_classes="jpt-panel"):
                _side(part, side, value, check)
    with gr.Column(elem_classes="jpt-panel"):
        part.text = gr.Textbox(
            presets.COMPARED_TEXT,
            lines=3,
            max_lines=10,
            label="Text",
            show_label=False,
            container=False,
            elem_id="jpt-compare-text",
            placeholder="Paste a text here …",
        )
        with gr.Row(elem_classes="jpt-bar-row"):
            part.run = gr.Button("Compare", variant="primary", elem_id="jpt-compare-run", scale=3, min_width=150)
            part.take_text = gr.Button("Text from Find", elem_id="jpt-compare-take-text", scale=1, min_width=130)
            part.example = gr.Button("Generic versus precise", elem_id="jpt-compare-example", scale=1, min_width=130)
        part.error = gr.HTML("", elem_id="jpt-compare-error", apply_default_css=False)
        part.result = gr.HTML(NOTHING_YET, elem_id="jpt-compare-result", apply_default_css=False, min_height=120)
    _wire(part, model, finding)


def _side(part: SimpleNamespace, side: str, value: dict[str, Any], check) -> None:
    title = side.upper()
    gr.HTML(f'<h2 class="jpt-step"><span aria-hidden="true">{title}</span>Definitions</h2>', apply_default_css=False)
    with gr.Row(elem_classes="jpt-bar-row"):
        part.preset[side] = gr.Dropdown(
            presets.preset_choices(),
            value=None,
            label="Start from",
            elem_id=f"jpt-compare-preset-{side}",
            scale=2,
            min_width=150,
            filterable=False,
        )
        part.take[side] = gr.Button(
            "Types from Find", size="sm", elem_id=f"jpt-compare-take-{side}", scale=1, min_width=110
        )
    part.types_error[side] = gr.HTML("", elem_id=f"jpt-compare-types-error-{side}", apply_default_css=False)
    part.types[side] = type_editor(document_of(schema_of(value)), f"jpt-compare-types-{side}", check)
    part.threshold[side] = gr.Slider(
        0, 1, 0, step=0.01, label=f"Threshold of {title}", elem_id=f"jpt-compare-threshold-{side}"
    )


def _wire(part: SimpleNamespace, model: Model, finding: SimpleNamespace) -> None:
    def run(text, types_a, types_b, threshold_a, threshold_b) -> Update:
        limit = RequestLimit(MAX_TEXT_SECONDS)
        no_errors = {part.types_error["a"]: "", part.types_error["b"]: "", part.error: ""}
        results = []
        for side, types, threshold in zip(SIDES, (types_a, types_b), (threshold_a, threshold_b)):
            try:
                results.append(find(model, text, types, threshold, nested=False, limit=limit))
            except TypesError as error:
                return {**no_errors, part.types_error[side]: error_line(error)}
            except PageError as error:
                return {**no_errors, part.error: error_line(error)}
        return {**no_errors, part.result: comparison(*results)}

    def take_example() -> Update:
        return {
            part.types["a"]: document_of(schema_of(presets.GENERIC)),
            part.types["b"]: document_of(schema_of(presets.PRECISE)),
            part.text: presets.COMPARED_TEXT,
        }

    part.run.click(
        run,
        [part.text, *part.types.values(), *part.threshold.values()],
        [part.result, *part.types_error.values(), part.error],
        show_progress_on=part.result,
        **READING,
    )
    for side in SIDES:
        part.preset[side].input(presets.preset, part.preset[side], part.types[side], **QUIET)
        part.take[side].click(lambda types: types, finding.types, part.types[side], **QUIET)
    part.take_text.click(lambda text: text, finding.text, part.text, **QUIET)
    part.example.click(take_example, None, [*part.types.values(), part.text], **QUIET)
