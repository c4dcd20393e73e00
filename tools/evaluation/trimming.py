"""Gains and losses of each trimming rule: the same probabilities, decoded with all rules and without each of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tqdm.auto import tqdm

from ... import words_jpt
from ..tables import markdown_table, percent
from .evaluate import gold_spans, predicted_spans
from .matching import Span
from .reports import Section
from .runs import Run
from .scoring import score_spans

_TUPLES = ("RULES_AT_RIGHT", "RULES_AT_LEFT")
# The trimming itself: without an entry, nothing of its kind is removed.
_CUTS = {"marks": "is_mark", "article": "is_article"}
_WHAT_CUTS_DO = {
    "marks": "Removes punctuation, signs and tags at the boundaries; the rules below decide which of them stay.",
    "article": "Removes a leading article that is not part of the name.",
}


@dataclass
class RuleEffect:
    """
    The effect of one rule on the mentions found in some texts.

    Args:
        f1 (`float`), f1_without (`float`): Strict micro F1 with all rules, and with all but this one.
        made_right (`int`), made_wrong (`int`): Mentions that are right only with the rule, and only without it.
        changed (`int`): Mentions that differ without the rule, whether right or wrong.
    """

    f1: float
    f1_without: float
    made_right: int
    made_wrong: int
    changed: int

    @property
    def gain(self) -> float:
        """F1 that the rule adds."""
        return self.f1 - self.f1_without


def rules() -> dict[str, str]:
    """All rules by name, with their descriptions."""
    kept = {}
    for name in _TUPLES:
        for rule in getattr(words_jpt, name):
            kept[rule.__name__.strip("_")] = f"Keeps: {rule.__doc__.strip()}"
    return {**_WHAT_CUTS_DO, **kept}


@contextmanager
def without(rule: str) -> Iterator[None]:
    """
    Disables one trimming rule for everything decoded inside the context, on all threads.

    Args:
        rule (`str`): One of [`rules`].

    Raises:
        ValueError: If there is no such rule.
    """
    if rule not in rules():
        raise ValueError(f"`rule` should be one of {', '.join(rules())}, got {rule!r}")
    if rule in _CUTS:
        changed: dict[str, Any] = {_CUTS[rule]: lambda *_: False}
    else:
        changed = {
            name: tuple(each for each in getattr(words_jpt, name) if each.__name__.strip("_") != rule)
            for name in _TUPLES
        }
    before = {name: getattr(words_jpt, name) for name in changed}
    try:
        for name, value in changed.items():
            setattr(words_jpt, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(words_jpt, name, value)


def trimming_effects(run: Run, pipeline: Any, *, nested: bool = False) -> dict[str, dict[str, RuleEffect]]:
    """
    The effect of each rule, by rule and dataset.

    Args:
        run ([`Run`]): From `run_model` with the decoder `word` and `keep_readings`.
        pipeline (`JPTPipeline`): The pipeline that read the texts.
        nested (`bool`): Whether mentions may overlap, as in the run.

    Raises:
        ValueError: If the run has no probabilities.
    """
    if not run.readings:
        raise ValueError(
            "--trimming needs the token probabilities of a JPT model, which a generative system does not have"
        )
    effects: dict[str, dict[str, RuleEffect]] = {}
    for rule in tqdm(rules(), unit="rule"):
        effects[rule] = {}
        for dataset, records in run.datasets.items():
            with without(rule):
                others = [pipeline.decode(each, decoder="word", nested=nested) for each in run.readings[dataset]]
            gold, found, other = (
                gold_spans(records),
                predicted_spans(run.predictions[dataset]),
                predicted_spans(others),
            )
            f1, f1_without = (score_spans(gold, each).strict.f1 for each in (found, other))
            effects[rule][dataset] = RuleEffect(f1, f1_without, *_differences(gold, found, other))
    return effects


def _differences(gold: list[list[Span]], found: list[list[Span]], other: list[list[Span]]) -> tuple[int, int, int]:
    """Numbers of mentions that are right only in `found`, right only in `other`, and different."""
    right = wrong = changed = 0
    for true, here, there in zip(gold, found, other, strict=True):
        only_here, only_there = {*here} - {*there}, {*there} - {*here}
        right += len(only_here & {*true})
        wrong += len(only_there & {*true})
        changed += max(len(only_here), len(only_there))
    return right, wrong, changed


def trimming_table(effects: Mapping[str, Mapping[str, RuleEffect]]) -> str:
    """One row per rule over all datasets, gains in points of F1; rules that change nothing are named below."""
    datasets = list(next(iter(effects.values())))
    means = [("mean gain", datasets)] if len(datasets) > 1 else []
    columns = [*means, *((f"gain, {name}", [name]) for name in datasets)]
    rows, idle = [], []
    for rule, by_dataset in effects.items():
        changed = sum(each.changed for each in by_dataset.values())
        if not changed:
            idle.append(rule)
            continue
        right, wrong = (
            sum(getattr(each, name) for each in by_dataset.values()) for name in ("made_right", "made_wrong")
        )
        gains = [sum(by_dataset[name].gain for name in names) / len(names) for _, names in columns]
        rows.append([rule, changed, right, wrong, *(f"{100 * gain:+.2f}" for gain in gains), rules()[rule]])
    first = next(iter(effects.values()))
    f1 = sum(each.f1 for each in first.values()) / len(first)
    parts = [f"F1 with all rules: {percent(f1)}{' (mean)' if means else ''}."]
    if rows:
        head = ["rule", "changed", "made right", "made wrong", *(title for title, _ in columns), "what it does"]
        parts.append(markdown_table(head, rows))
    if idle:
        parts.append(f"Nothing here is changed by: {', '.join(idle)}.")
    return "\n\n".join(parts)


def trimming_section(run: Run, pipeline: Any, *, nested: bool = False) -> Section:
    """[`trimming_effects`] as a section of a report."""
    effects = trimming_effects(run, pipeline, nested=nested)
    data = {
        rule: {dataset: {**asdict(each), "gain": each.gain} for dataset, each in by_dataset.items()}
        for rule, by_dataset in effects.items()
    }
    return Section("trimming", data, "Rules of trimming", trimming_table(effects))
