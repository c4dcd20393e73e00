"""The findings in a mixture in, Markdown and JSON out."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tables import markdown_table, write_json_and_markdown
from .mixture import CandidateType, Frequency, Gap, collect, extremes, find_gaps
from .preparation import iter_sources
from .recipe import DataSource, Recipe

LISTED = 40  # findings of a kind in a table; the JSON contains all
MAX_NAME = 60


@dataclass
class MixtureOptions:
    """
    Args:
        limit (`int`): Number of texts of each set to search.
        similarity (`float`), least (`int`), share (`float`): As for `mixture.find_gaps`.
    """

    limit: int = 1000
    similarity: float = 0.6
    least: int = 5
    share: float = 0.2


@dataclass
class MixtureReport:
    """The findings, with the numbers of sets, texts and types."""

    sets: int
    texts: int
    types: int
    gaps: list[Gap]
    families: list[Gap]
    extremes: list[Frequency]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the JSON report."""
        return {
            "sets": self.sets,
            "texts_searched": self.texts,
            "types": self.types,
            "unmarked": [_gap_values(each) for each in self.gaps],
            "families": [{**_gap_values(each), "members": list(each.type.members)} for each in self.families],
            **{
                kind: [
                    {"set": each.type.dataset, "type": each.type.name, "asked": each.asked, "positive": each.positive}
                    for each in self.extremes
                    if each.kind == kind
                ]
                for kind in ("never", "always")
            },
        }


def recipe_of_files(paths: Sequence[Path]) -> Recipe:
    """
    Files as the data of a recipe, for [`check_mixture`].

    Raises:
        FileNotFoundError: If one of them does not exist.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such file: {path}")
    return Recipe(output_dir="", data=[DataSource(_literal(path)) for path in paths])


def _literal(path: Path) -> str:
    return glob.escape(str(path.absolute()))


def check_mixture(recipe: Recipe, encoder, options: MixtureOptions) -> MixtureReport:
    """
    Searches for label errors across all sets of a recipe, as training reads them.

    Args:
        recipe ([`Recipe`]): Its `data` are read set by set.
        encoder: The definition encoder.
        options ([`MixtureOptions`]): How much to search, and what to report.

    Raises:
        ValueError: As `preparation.load_sources` does.
    """
    if not recipe.data:
        raise ValueError("data: the recipe names no data; give files with `data=FILE`")
    mixture = collect(iter_sources(recipe, recipe.data), options.limit)
    found = find_gaps(mixture, encoder, options.similarity, options.least, options.share)
    with_gaps = {each.type: each for each in found}
    families = [with_gaps.get(each, Gap(each)) for each in mixture.types if each.members]
    return MixtureReport(
        len(mixture.names),
        sum(map(len, mixture.texts)),
        len(mixture.types),
        [each for each in found if not each.type.members],
        sorted(families, key=lambda each: -each.unmarked),
        extremes(mixture),
    )


def mixture_tables(report: MixtureReport) -> str:
    """The findings in Markdown, a table for each kind, the worst ones first."""
    parts = [f"{report.sets} sets, {report.types:,} types, {report.texts:,} texts searched."]
    head = ["set", "type", "unmarked", "marked", "by", "example"]
    parts += _part(
        "Unmarked mentions",
        head,
        [
            [*_type_cells(each.type), each.unmarked, each.marked, _sources(each), _example(each)]
            for each in report.gaps
        ],
    )
    head = ["set", "family", "members", "unmarked", "marked", "by", "example"]
    rows = [
        [*_type_cells(each.type), len(each.type.members), each.unmarked, each.marked, _sources(each), _example(each)]
        for each in report.families
    ]
    parts += _part("Families, if their name alone were asked", head, rows)
    for kind in ("never", "always"):
        rows = [[*_type_cells(each.type), each.asked] for each in report.extremes if each.kind == kind]
        parts += _part(f"Types that are {kind} there", ["set", "type", "texts asked"], rows)
    return "\n\n".join(parts)


def _part(title: str, head: list[str], rows: list[list[Any]]) -> list[str]:
    if not rows:
        return [f"### {title}", "None."]
    more = [f"And {len(rows) - LISTED} more."] if len(rows) > LISTED else []
    return [f"### {title}", markdown_table(head, rows[:LISTED]), *more]


def _type_cells(asked: CandidateType) -> list[str]:
    return [_set_name(asked), asked.name[:MAX_NAME]]


def _set_name(asked: CandidateType) -> str:
    """The name of a set, without the file if the folder identifies it."""
    return asked.dataset.removesuffix("/data")


def _sources(gap: Gap) -> str:
    return ", ".join(f"{_set_name(each)}: {each.name[:MAX_NAME]} ({count})" for each, _, count in gap.sources[:2])


def _example(gap: Gap) -> str:
    return gap.examples[0][0] if gap.examples else ""


def _gap_values(gap: Gap) -> dict[str, Any]:
    return {
        "set": gap.type.dataset,
        "type": gap.type.name,
        "definition": gap.type.definition,
        "unmarked": gap.unmarked,
        "marked": gap.marked,
        "sources": [
            {"set": each.dataset, "type": each.name, "similarity": round(similarity, 3), "unmarked": count}
            for each, similarity, count in gap.sources
        ],
        "examples": [{"surface": surface, "text": text} for surface, text in gap.examples],
    }


def write_mixture(report: MixtureReport, output: Path) -> list[Path]:
    """
    Writes `output.json` and `output.md`, each whole or not at all.

    Returns:
        `list[Path]`: The files.
    """
    text = f"# Labels over a mixture\n\n{mixture_tables(report)}\n"
    return write_json_and_markdown(output, report.to_dict(), text)
