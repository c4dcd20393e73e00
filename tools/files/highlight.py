"""A text and its entities in, the text with coloured entities for a terminal out, and a legend with counts.

Without colours, brackets mark the entities. Knows nothing of files or models.
"""

import re
from collections import Counter, defaultdict
from itertools import chain, cycle, pairwise
from typing import Any

from rich.console import Console
from rich.text import Text

# Backgrounds for types without a colour of their own, all light enough for black text.
PALETTE = (
    *("#ffd6a5", "#a9c8ff", "#c9f2b0", "#ffc2e8", "#fff3a3", "#a8e6e1"),
    *("#c9b8ff", "#ffb3ab", "#dcc9a6", "#8fdcb0", "#ccd5de", "#e6e64d"),
)
# Control characters could control the terminal, and lone surrogates cannot be printed.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Highlighter:
    """
    Prints tagged texts, each type in one colour throughout.

    Args:
        console (`Console`): Where to.
        colours (`dict[str, str | None]`):
            The types in order, with their colour, `"#rrggbb"`, or None to get one. Other types get theirs when they first
            occur.
        scores (`bool`, *optional*, defaults to `False`): Show the score of each entity.
    """

    def __init__(self, console: Console, colours: dict[str, str | None], scores: bool = False):
        self._console = console
        unused = [colour for colour in PALETTE if colour not in colours.values()]
        self._palette = chain(unused, cycle(PALETTE))
        self._colours = {name: colour or next(self._palette) for name, colour in colours.items()}
        self._scores = scores
        self._counts: Counter[str] = Counter()

    def print(self, text: str, entities: list[dict[str, Any]], title: str | None = None) -> None:
        """Prints one text; nested entities show the inner colour."""
        self._counts.update(entity["entity_group"] for entity in entities)
        starting: dict[int, list] = defaultdict(list)
        ending: dict[int, list] = defaultdict(list)
        # Outer entities first, so that the last one open is the innermost.
        for entity in sorted(entities, key=lambda entity: (entity["start"], -entity["end"])):
            starting[entity["start"]].append(entity)
            ending[entity["end"]].insert(0, entity)
        shown = Text()
        unfinished: list[dict[str, Any]] = []
        for start, end in pairwise(sorted({0, len(text), *starting, *ending})):
            unfinished += starting[start]
            if not self._coloured:
                shown.append("[" * len(starting[start]))
            style = f"bold black on {self._colour(unfinished[-1]['entity_group'])}" if unfinished else ""
            shown.append(printable(text[start:end]), style)
            for entity in ending[end]:
                self._append_label(shown, entity)
                unfinished.remove(entity)
        if title is not None:
            self._console.rule(printable(title), align="left", style="dim")
        self._console.print(shown, soft_wrap=not self._console.is_terminal)

    def print_legend(self) -> None:
        """Prints the types found so far with their counts, most frequent first."""
        legend = Text("\n")
        for name, count in self._counts.most_common():
            legend.append(f" {printable(name)} ", f"black on {self._colour(name)}")
            legend.append(f" {count}   ")
        self._console.print(legend if self._counts else Text("\nno entities found"))

    @property
    def _coloured(self) -> bool:
        return self._console.color_system is not None

    def _colour(self, name: str) -> str:
        if name not in self._colours:
            self._colours[name] = next(self._palette)
        return self._colours[name]

    def _append_label(self, shown: Text, entity: dict[str, Any]) -> None:
        name = printable(entity["entity_group"])
        label = f"{name} {entity['score']:.2f}" if self._scores else name
        if self._coloured:
            shown.append(f" {label} ", f"italic #444444 on {self._colour(entity['entity_group'])}")
        else:
            shown.append(f"|{label}]")


def printable(text: str) -> str:
    """The text without what could command a terminal."""
    return UNPRINTABLE.sub("\ufffd", text.replace("\r", ""))
