"""Scores in, reports out: tables in Markdown, and everything as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..tables import markdown_table, percent, write_json_and_markdown
from .scoring import Score, Scores


class Section(NamedTuple):
    """
    A part of a report besides the scores.

    Args:
        key (`str`), data: Its key and value in the JSON.
        title (`str`), text (`str`): Heading and body in Markdown.
    """

    key: str
    data: Any
    title: str
    text: str


def summary_table(results: dict[str, Scores]) -> str:
    """One row per dataset: strict F1 with its interval, and where it is lost (detection, typing, boundaries)."""
    head = ["dataset", "texts", "precision", "recall", "**F1**", "95 % interval", "macro F1"]
    head += ["detection F1", "typing", "boundaries"]
    rows = []
    for name, scores in results.items():
        low, high = scores.interval or (0.0, 0.0)
        errors = scores.errors
        rates = [scores.macro_f1, errors.detection.f1, errors.typing_accuracy, errors.boundary_accuracy]
        rows.append(
            [
                name,
                scores.texts,
                f"{scores.strict.precision:.1%}",
                f"{scores.strict.recall:.1%}",
                f"**{scores.strict.f1:.1%}**",
                f"{low:.1%} to {high:.1%}",
                *(f"{rate:.1%}" for rate in rates),
            ]
        )
    mean = sum(scores.strict.f1 for scores in results.values()) / len(results)
    rows.append(["mean", "", "", "", f"**{mean:.1%}**", *[""] * 5])
    return markdown_table(head, rows)


def markdown_report(scores: Scores, title: str) -> str:
    """
    A report in Markdown, in percent: overall scores, scores by type (largest support first) and the error split.

    Args:
        scores ([`Scores`]): Of [`score_spans`].
        title (`str`): Heading.
    """
    about = f"{scores.texts} texts, {scores.strict.gold} gold and {scores.strict.predicted} predicted mentions."
    summary = f"Strict micro F1 **{percent(scores.strict.f1)}**"
    if scores.interval is not None:
        summary += f" (95 % bootstrap interval {percent(scores.interval[0])} to {percent(scores.interval[1])})"
    rows = {
        "strict (boundaries and type)": scores.strict,
        "exact boundaries, any type": scores.exact,
        "partial overlap, any type": scores.partial,
        "overlap with the right type": scores.type_only,
        "tokens": scores.tokens,
        "tokens, any type": scores.token_detection,
    }
    overall = [[name, *_rates(score)] for name, score in rows.items() if score is not None]
    by_support = sorted(scores.per_type.items(), key=lambda item: (-item[1].gold, item[0]))
    by_type = [[label, *_rates(score), score.gold, score.predicted] for label, score in by_support]
    errors = scores.errors
    split = [percent(each) for each in (errors.detection.f1, errors.typing_accuracy, errors.boundary_accuracy)]
    parts = [
        f"## {title}",
        f"{about}\n{summary}, macro F1 {percent(scores.macro_f1)}.",
        markdown_table(["Score", "Precision", "Recall", "F1"], overall, align_right=True),
        "### By type",
        markdown_table(["Type", "Precision", "Recall", "F1", "Gold", "Predicted"], by_type, align_right=True),
        "### Error split",
        markdown_table(
            ["Detection F1 (any overlap)", "Typing accuracy (boundaries right)", "Boundary accuracy (type right)"],
            [split],
            align_right=True,
        ),
        markdown_table(
            [name.replace("_", " ").capitalize() for name in vars(errors)],
            [[*vars(errors).values()]],
            align_right=True,
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _rates(score: Score) -> list[str]:
    return [percent(score.precision), percent(score.recall), percent(score.f1)]


def write_report(
    results: dict[str, Scores],
    output: str | Path,
    about: dict[str, Any] | None = None,
    sections: Sequence[Section] = (),
) -> None:
    """
    Writes the scores of several datasets as `output.json` and `output.md`, each whole or not at all.

    Args:
        about (`dict`, *optional*): Facts about the run, for the JSON.
        sections (`Sequence[Section]`): Further results, placed below the summary.
    """
    mean = sum(scores.strict.f1 for scores in results.values()) / len(results)
    summary = {
        "mean_strict_f1": mean,
        **(about or {}),
        "datasets": {name: scores.to_dict() for name, scores in results.items()},
        **{section.key: section.data for section in sections},
    }
    added = [part for section in sections for part in (f"## {section.title}", section.text)]
    reports = [summary_table(results), *added, *(markdown_report(scores, name) for name, scores in results.items())]
    write_json_and_markdown(output, summary, "\n\n".join(reports) + "\n")
