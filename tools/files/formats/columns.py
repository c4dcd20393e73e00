"""The first lines of a CoNLL-like file in, the layout of its columns out: which one has the words, which one the tags.

Recognises one-column lists of words, CoNLL-2002 and -2003, MultiCoNER, CoNLL-U and CoNLL-U Plus, UNER, GermEval
2014, CoNLL-2012 (OntoNotes), and tags before their words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import ReadOptions
from .tags import BRACKETS, parse_tag

Cells = list[str]
CHUNKS = {
    *"NP VP PP ADJP ADVP SBAR PRT CONJP INTJ LST UCP".split()
}  # the labels of CoNLL-2000 and -2003's third column
INDEX = re.compile(r"\d{1,9}([-.]\d{1,9})?")
NAMED_IN_MISC = re.compile(r"(?:^|\|)(?:NER|NE|name)=([^|]+)", re.IGNORECASE)  # CoNLL-U's last column, as in NorNE
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
TAG_COLUMN = re.compile(r"(^|[:_-])(ner|ne|nertag|ner[_-]tags?|tags?|entity|entities|iob|bio)$", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """
    The layout of a file's columns.

    Args:
        count (`int`): Number of columns of most lines.
        word (`int`), tag (`int`, *optional*): Columns of words and tags, from 0.
        kind (`str`): How tags are written: `"tags"`, `"brackets"` (CoNLL-2012) or `"misc"` (in CoNLL-U's last column).
        has_index (`bool`): Whether the first column counts the words of a sentence, as in CoNLL-U.
    """

    count: int
    word: int
    tag: int | None
    kind: str = "tags"
    has_index: bool = False


def cells_of(line: str) -> Cells:
    """The columns of a line: separated by tabs if there are any, else by blanks."""
    # Not split(): a word may hold a no-break space.
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def find_layout(rows: Sequence[Cells], declared: Sequence[str] | None, options: ReadOptions) -> Layout:
    """
    The layout of a file's columns, by its first rows.

    Args:
        rows (`list[list[str]]`): Lines of words, without comments.
        declared (`list[str]`, *optional*): Names of the columns, if the file gives them (`# global.columns = `).
        options ([`ReadOptions`]): `columns` replaces the detection.

    Raises:
        ValueError: If `columns` are not numbers from 1.
    """
    count = Counter(map(len, rows)).most_common(1)[0][0] if rows else 1
    whole = [row for row in rows if len(row) == count]
    has_index = count > 1 and _counts_words(whole)
    if options.columns is not None:
        if not all(each.isdecimal() and int(each) > 0 for each in options.columns):
            raise ValueError(
                f"`columns` of a CoNLL file are numbers from 1, such as 2,3; got {','.join(options.columns)}"
            )
        word, tag = ([int(each) - 1 for each in options.columns] + [None])[:2]
        return Layout(count, word or 0, tag, _kind(whole, tag), has_index)
    if declared is not None and len(declared) == count:
        names = [name.upper() for name in declared]
        tagged = [i for i, name in enumerate(declared) if TAG_COLUMN.search(name)]
        if "FORM" in names and tagged:
            return Layout(count, names.index("FORM"), tagged[-1], _kind(whole, tagged[-1]), has_index)
    if count == 1:
        return Layout(1, 0, None)
    if has_index and count == 2 and not _are_tags([row[1] for row in whole], options.tag_scheme):
        return Layout(2, 1, None, has_index=True)
    tag, kind = _tag_column(whole, count, has_index, options.tag_scheme)
    if kind == "brackets":
        return Layout(count, 3, tag, kind)  # CoNLL-2012: document, part, number, word
    word = next((i for i in range(int(has_index), count) if i != tag), 0)
    return Layout(count, word, tag, kind, has_index and word > 0)


def _tag_column(rows: list[Cells], count: int, has_index: bool, scheme: str | None) -> tuple[int, str]:
    tagged = [i for i in range(count) if _are_tags([row[i] for row in rows], scheme)]
    if count - 1 in tagged:
        # GermEval 2014: number, word, outer tag and inner tag, with few inner ones.
        if has_index and count == 4 and tagged == [2, 3]:
            outer, inner = (sum(row[i] not in ("O", "o") for row in rows) for i in (2, 3))
            return (2 if 2 * inner <= outer else 3), "tags"
        return count - 1, "tags"
    if count >= 11 and all(BRACKETS.fullmatch(row[10]) for row in rows):
        return 10, "brackets"
    if has_index and count == 10:
        return 9, "misc"
    return (tagged[-1] if tagged else count - 1), "tags"


def _kind(rows: list[Cells], tag: int | None) -> str:
    cells = [] if tag is None else [row[tag] for row in rows if tag < len(row)]
    if not cells or _are_tags(cells, None):
        return "tags"
    if all(BRACKETS.fullmatch(cell) for cell in cells):
        return "brackets"
    return "misc" if any(NAMED_IN_MISC.search(cell) for cell in cells) else "tags"


def _are_tags(cells: Sequence[str], scheme: str | None) -> bool:
    """Whether a column contains tags of mentions; a few others count as errors in it."""
    if scheme is not None:  # Any text can be a bare label, but a column of words has no O.
        return any(cell in ("O", "o") for cell in cells)
    parsed = [parse_tag(cell) for cell in cells]
    labels = {each[1] for each in parsed if each is not None and each[1]}
    return 2 * sum(each is not None for each in parsed) > len(parsed) and not (labels and labels <= CHUNKS)


def _counts_words(rows: Sequence[Cells]) -> bool:
    """Whether the first column numbers the words of each sentence from 0 or 1."""
    if not all(INDEX.fullmatch(row[0]) for row in rows):
        return False
    numbers = [int(row[0]) for row in rows if row[0].isdecimal()]
    return numbers[:1] in ([0], [1]) and all(b == a + 1 or b in (0, 1) for a, b in zip(numbers, numbers[1:]))
