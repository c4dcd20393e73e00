"""Statistics of labelled data: those of Table 7 of the JPT paper and the distribution of its Figure 4, for any data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ...atomic_jpt import atomic_file
from ...words_jpt import split_words
from ..tables import markdown_table, write_json_and_markdown
from .records import Record, iter_records, token_ranges

RARE = 10  # mentions: types with this many or fewer are the long tail of Figure 4
MAX_LISTED = 20  # types in the report

# JPT, Appendix B: 17,489 passages of Wikipedia, annotated by a language model. Not measured here.
PAPER = {
    "texts": "17,489",
    "tokens": "3,391,899",
    "mentions": "374,705",
    "types": "5,009",
    "tokens per text": "194.9",
    "tokens inside of mentions to others": "1 : 1.5",
    "types with 10 mentions or fewer": "71 %",
    "mentions of a type, median": "4",
}


@dataclass
class DataStatistics:
    """
    Statistics of labelled records. Tokens are those of the records if they have any, else words and punctuation marks.

    Args:
        texts (`int`): Number of records; `empty` of them have no mention.
        tokens (`int`), tokens_inside (`int`): All tokens, and those that share a character with a mention.
        mention_tokens (`int`): Sum of the lengths of all mentions, in tokens.
        asked (`set[str]`): Types that were annotated, with or without mentions, if the records name them.
        mentions (`Counter`): Number of mentions by type.
    """

    texts: int = 0
    empty: int = 0
    tokens: int = 0
    tokens_inside: int = 0
    mention_tokens: int = 0
    asked: set[str] = field(default_factory=set)
    mentions: Counter = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Counts a record."""
        ranges = split_words(record.text) if record.tokens is None else token_ranges(record.text, record.tokens)
        self.texts += 1
        self.empty += not record.entities
        self.tokens += len(ranges)
        covered: set[int] = set()
        for each in record.entities:
            inside = [index for index, (start, end) in enumerate(ranges) if start < each.end and each.start < end]
            covered.update(inside)
            self.mention_tokens += len(inside)
            self.mentions[each.label] += 1
        self.tokens_inside += len(covered)
        self.asked.update(record.types or record.labels or ())

    @property
    def types(self) -> set[str]:
        """Types that have mentions or were asked for."""
        return self.asked | set(self.mentions)

    @property
    def counts(self) -> list[int]:
        """Mentions of each type that has some, most first."""
        return sorted(self.mentions.values(), reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = self.counts
        return {
            "texts": self.texts,
            "texts_without_mentions": self.empty,
            "tokens": self.tokens,
            "tokens_per_text": _ratio(self.tokens, self.texts),
            "tokens_inside": self.tokens_inside,
            "mentions": sum(counts),
            "mentions_per_text": _ratio(sum(counts), self.texts),
            "tokens_per_mention": _ratio(self.mention_tokens, sum(counts)),
            "types": len(self.types),
            "types_without_mentions": len(self.types) - len(counts),
            "rare_types": _ratio(sum(count <= RARE for count in counts), len(counts)),
            "median_mentions_of_a_type": median(counts) if counts else 0,
            "mentions_by_type": dict(self.mentions.most_common()),
        }


def collect_statistics(paths: Sequence[str | Path], skip_bad: bool = False) -> DataStatistics:
    """
    The statistics of all records of some files together. Mentions may overlap.

    Args:
        paths (`Sequence`): Files of labelled records.
        skip_bad (`bool`): Leave out unusable records with a warning, instead of stopping.

    Raises:
        ValueError: If a record cannot be used, or there are none.
    """
    found = DataStatistics()
    for path in paths:
        for record in iter_records(path, allow_overlaps=True, on_error="skip" if skip_bad else "raise"):
            found.add(record)
    if not found.texts:
        raise ValueError(f"{', '.join(map(str, paths))}: no records")
    return found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def statistics_table(found: DataStatistics) -> str:
    """The statistics beside those of the paper, and the most frequent types, in Markdown."""
    values = found.to_dict()
    outside = _ratio(found.tokens - found.tokens_inside, found.tokens_inside)
    rows = {
        "texts": f"{found.texts:,}",
        "texts without a mention": f"{found.empty:,}",
        "tokens": f"{found.tokens:,}",
        "tokens per text": f"{values['tokens_per_text']:.1f}",
        "tokens inside of mentions to others": f"1 : {outside:.1f}",
        "mentions": f"{values['mentions']:,}",
        "mentions per text": f"{values['mentions_per_text']:.1f}",
        "tokens per mention": f"{values['tokens_per_mention']:.1f}",
        "types": f"{values['types']:,}",
        "types without a mention": f"{values['types_without_mentions']:,}",
        f"types with {RARE} mentions or fewer": f"{values['rare_types']:.0%}".replace("%", " %"),
        "mentions of a type, median": f"{values['median_mentions_of_a_type']:g}",
    }
    table = markdown_table(
        ["", "here", "JPT paper"],
        [[name, value, PAPER.get(name, "")] for name, value in rows.items()],
        align_right=True,
    )
    frequent = [[label, f"{count:,}"] for label, count in found.mentions.most_common(MAX_LISTED)]
    return f"{table}\n\n{markdown_table(['most frequent types', 'mentions'], frequent, align_right=True)}"


def write_statistics(found: DataStatistics, output: str | Path, files: Iterable[str]) -> list[Path]:
    """
    Writes `output.json`, `output.md` and, where matplotlib is installed, the distribution of Figure 4 as `output.png`.

    Returns:
        `list[Path]`: The files.
    """
    document = {"files": list(files), **found.to_dict()}
    written = write_json_and_markdown(output, document, f"# Statistics\n\n{statistics_table(found)}\n")
    picture = written[0].with_suffix(".png")
    try:
        plot_type_frequencies(found, picture)
    except ImportError:
        return written
    return [*written, picture]


def plot_type_frequencies(found: DataStatistics, path: str | Path) -> None:
    """
    Draws the number of types by their number of mentions (Figure 4), in bins of doubling width.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    counts = found.counts
    bounds = [1]
    while bounds[-1] <= max(counts, default=1):
        bounds.append(2 * bounds[-1])
    numbers = [sum(low <= count < high for count in counts) for low, high in zip(bounds, bounds[1:])]
    names = [str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in zip(bounds, bounds[1:])]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.bar(names, numbers, color="#4f7fc0")
    axes.set(xlabel="mentions of a type", ylabel="types")
    rare = _ratio(sum(count <= RARE for count in counts), len(counts))
    middle = median(counts) if counts else 0
    axes.set_title(f"{len(counts):,} types with mentions, {rare:.0%} with {RARE} or fewer, median {middle:g}")
    axes.tick_params(axis="x", rotation=45)
    path = Path(path)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
