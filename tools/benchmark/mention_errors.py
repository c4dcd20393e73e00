"""PaDeLLM-NER's own evaluation of its outputs: mention sets, kinds of errors (Figure 4), mentions under several labels.

Takes the texts of a comparison. Mentions are strings here, as the system wrote them; the strict scores compare spans.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ...generative.formats import MAX_MENTIONS
from ..evaluation.scoring import Score, score_mention_sets
from .compare import MeasuredText

ERROR_KINDS = ("count_mismatch", "index_inaccuracy", "rest")


def gold_mentions(text: MeasuredText) -> list[tuple[str, str]]:
    """Label and string of each gold mention, in the order of the text."""
    return [(label, text.text[start:end]) for start, end, label in sorted(map(tuple, text.gold))]


def mention_set_score(texts: Sequence[MeasuredText], system: str, rule: str) -> Score:
    """Micro scores of mention sets, as PaDeLLM-NER's authors compute them."""
    written = [[(label, mention) for label, mention in text.systems[system].output.written[rule]] for text in texts]
    return score_mention_sets([gold_mentions(text) for text in texts], written)


def label_errors(texts: Sequence[MeasuredText], system: str) -> list[dict[str, Any]]:
    """
    The errors: one entry for each label of a text whose entities differ from the gold ones.

    A wrong number of mentions is a `count_mismatch`; with the right number, an n-th mention that is not the n-th gold mention
    is an `index_inaccuracy`. In the `rest` all mentions were written correctly, and de-duplication or the search for
    their places in the text lost them. Errors in the gold labels, the paper's third kind, take a person to find.

    Returns:
        `list[dict]`: With `dataset`, `number`, `text`, `label`, `kind`, `gold` (strings), `count` and `written` (strings).
    """
    found = []
    for text in texts:
        output = text.systems[system].output
        for label, count in output.counts.items():
            gold = [mention for each, mention in gold_mentions(text) if each == label]
            written = [mention for each, mention in output.written["none"] if each == label]
            kind = _error_kind(text, output, label, gold, count, written)
            if kind:
                entry = {"dataset": text.dataset, "number": text.number, "text": text.text, "label": label}
                found.append({**entry, "kind": kind, "gold": gold, "count": count, "written": written})
    return found


def _error_kind(text: MeasuredText, output, label: str, gold: list[str], count: int, written: list[str]) -> str | None:
    spans, gold_spans = (
        {(start, end) for start, end, each in side if each == label}
        for side in (output.found["probability"], text.gold)
    )
    if spans == gold_spans:
        return None
    if count != min(len(gold), MAX_MENTIONS):
        return "count_mismatch"
    return "rest" if written == gold[:MAX_MENTIONS] else "index_inaccuracy"


def error_shares(errors: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Share of each kind among the errors; zeros if there are none."""
    kinds = Counter(error["kind"] for error in errors)
    return {kind: kinds[kind] / kinds.total() if kinds else 0.0 for kind in ERROR_KINDS}


def several_labels(texts: Sequence[MeasuredText], system: str) -> dict[str, int]:
    """
    Mentions that occur under several labels of one text.

    Returns:
        `dict`: `gold`, `predicted`: numbers of such strings, in the predictions before de-duplication. `dropped`,
        `dropped_right`: pairs of label and mention that de-duplication dropped, and those of them that are gold.
    """
    counts: Counter[str] = Counter(gold=0, predicted=0, dropped=0, dropped_right=0)
    for text in texts:
        output = text.systems[system].output
        gold = set(gold_mentions(text))
        written, kept = ({tuple(pair) for pair in output.written[rule]} for rule in ("none", "probability"))
        for name, pairs in (("gold", gold), ("predicted", written)):
            labels = Counter(mention for _, mention in pairs)
            counts[name] += sum(number > 1 for number in labels.values())
        counts["dropped"] += len(written - kept)
        counts["dropped_right"] += len((written - kept) & gold)
    return dict(counts)
