"""Outputs of generative models in, mentions out; mentions in, their characters in the text out.

Accepts any string: failures to parse are counted by kind, and only mentions that occur in the text get offsets.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from .formats import MAX_MENTIONS, NULL, WORDINGS, Mention, ParsedOutput

NOTHING = {"", "-", "none", "n/a", "null", "no entities", "nothing"}


def parse_count(output: str) -> int | None:
    """
    Reads the output of step 1, up to the end of its line or of the sequence.

    Returns:
        `int`, *optional*: The count, at most `MAX_MENTIONS`; 0 for an empty output; `None` if it is not a count.
    """
    line = output.strip().partition("\n")[0].strip()
    if not line:
        return 0
    found = re.fullmatch(r"([0-9]+)\s*(<.*)?", line)
    if found is None:
        return None
    # Avoids converting a number of very many digits.
    return min(int(found[1]), MAX_MENTIONS) if len(found[1]) < 9 else MAX_MENTIONS


def parse_mention(output: str) -> str:
    """Reads the output of step 2: the mention, up to a line break or the next marker of a template."""
    line = output.strip().partition("\n")[0]
    cut = [found.start() for wording in WORDINGS.values() if (found := wording.markers.search(line))]
    return line[: min(cut, default=None)].strip()


def parse_augmented(output: str, text: str, labels: Sequence[str]) -> ParsedOutput:
    """
    Reads a text with `[mention LABEL]` marks.

    The marks are removed and the rest is aligned with the text, so a mention keeps its place even if the same words occur
    earlier without a mark. Where the output departs from the text (`altered_text`), stops early (`truncated`) or
    continues (`repeated_text`), mentions outside the parts that agree have no `start`.
    """
    parsed = ParsedOutput()
    plain, marks = _remove_marks(output, text, labels, parsed.failures)
    place = _align(plain, text, parsed.failures)
    for start, end, label in marks:
        mention = plain[start:end]
        if not mention.strip():
            parsed.failures["empty_mention"] += 1
            continue
        begin = place(start, end)
        parsed.mentions.append(Mention(label, mention if begin is not None else mention.strip(), begin))
    return parsed


def _remove_marks(output: str, text: str, labels: Sequence[str], failures: Counter):
    """The output without marks, and the marks as `(start, end, label)` in it."""
    by_length = sorted(labels, key=len, reverse=True)
    pieces, marks, length, position = [], [], 0, 0
    while (opening := output.find("[", position)) >= 0:
        pieces.append(output[position:opening])
        length += opening - position
        closing = output.find("]", opening)
        mark = _read_mark(output, opening, text, by_length)
        if mark is not None:
            mention, label, position = mark
            marks.append((length, length + len(mention), label))
        elif closing >= 0 and output[opening : closing + 1] not in text and "[" not in output[opening + 1 : closing]:
            failures["unknown_label"] += 1
            mention, position = output[opening + 1 : closing], closing + 1
        else:
            # A bracket of the text itself, or an unclosed one.
            if text.count("[") <= "".join(pieces).count("["):
                failures["unbalanced"] += 1
                mention = ""
            else:
                mention = "["
            position = opening + 1
        pieces.append(mention)
        length += len(mention)
    return "".join([*pieces, output[position:]]), marks


def _read_mark(output: str, opening: int, text: str, labels: Sequence[str]) -> tuple[str, str, int] | None:
    """Mention, label and end of the mark at `opening`; of several candidates the one that occurs in the text."""
    candidates = []
    closing = opening
    # A mention may itself contain brackets, but not many.
    for _ in range(4):
        closing = output.find("]", closing + 1)
        if closing < 0:
            break
        inner = output[opening + 1 : closing]
        if output[opening : closing + 1] in text:
            continue
        for label in labels:
            if inner == label or inner.endswith(" " + label):
                mention = inner[: -len(label) - 1]
                if mention and mention in text:
                    return mention, label, closing + 1
                if "[" not in mention:
                    candidates.append((mention, label, closing + 1))
    return candidates[0] if candidates else None


def _align(plain: str, text: str, failures: Counter):
    """A function from a range of `plain` to its start in the text, or to `None`."""
    repeated, whole = plain.strip(), text.strip()
    shift = (len(text) - len(text.lstrip())) - (len(plain) - len(plain.lstrip()))
    if repeated == whole:
        return lambda start, end: start + shift
    if whole.startswith(repeated):
        failures["truncated"] += 1
        return lambda start, end: start + shift if text.startswith(plain[start:end], start + shift) else None
    if repeated.startswith(whole):
        failures["repeated_text"] += 1
    else:
        failures["altered_text"] += 1
    blocks = SequenceMatcher(None, plain, text, autojunk=False).get_matching_blocks()

    def place(start: int, end: int) -> int | None:
        for a, b, size in blocks:
            if a <= start and end <= a + size:
                return start - a + b
        return None

    return place


_HEAD = re.compile(r"\(\s*([^()]+?)\s*\)\s*:\s*\(")
_CUT_HEAD = re.compile(r"\)\s*,\s*(\([^()]*(\)[\s:]*)?)?$")


def parse_structured(output: str, text: str, labels: Sequence[str]) -> ParsedOutput:
    """Reads `((LABEL): (mention), ..., (LABEL): (NULL))`. A mention may contain parentheses."""
    parsed = ParsedOutput()
    heads = list(_HEAD.finditer(output))
    if not heads:
        if output.strip().strip("()"):
            parsed.failures["malformed"] += 1
        elif output.strip() != "()":
            parsed.failures["truncated"] += 1
        return parsed
    if output[: heads[0].start()].strip() != "(":
        parsed.failures["unbalanced" if not output[: heads[0].start()].strip() else "malformed"] += 1
    ends = [head.start() for head in heads[1:]] + [len(output)]
    for number, (head, end) in enumerate(zip(heads, ends)):
        mention, failure = _read_pair(output[head.end() : end], text, last=number == len(heads) - 1)
        if failure:
            parsed.failures[failure] += 1
        if mention is None or mention == NULL:
            continue
        if not mention.strip():
            parsed.failures["empty_mention"] += 1
        elif head[1] not in labels:
            parsed.failures["unknown_label"] += 1
        else:
            parsed.mentions.append(Mention(head[1], mention.strip()))
    return parsed


def _read_pair(rest: str, text: str, last: bool) -> tuple[str | None, str | None]:
    """The mention at the start of `rest`, which ends before the next pair, and the kind of failure, if any."""
    rest = rest.rstrip() if last else rest.rstrip(" ,(\n")
    if last and (cut := _CUT_HEAD.search(rest)):
        return rest[: cut.start()], "truncated"
    closed = len(rest) - len(rest.rstrip(")"))
    expected = 2 if last else 1
    if closed == 0:
        # The last mention is cut off; before another pair only the parenthesis is missing.
        return (None, "truncated") if last else (rest, "unbalanced")
    if closed >= expected and (closed == expected or rest[:-expected] in text):
        return rest[:-expected], None
    # Too many or too few parentheses: the mention keeps those with which it occurs in the text.
    for number in range(1, closed + 1):
        if rest[:-number] in text:
            return rest[:-number], "unbalanced"
    return rest.rstrip(")"), "unbalanced"


MARKUP = " *_\"'`"


def parse_chat(output: str, text: str, labels: Sequence[str]) -> ParsedOutput:
    """
    Reads the answer to `chat_messages` of the wording `chat`: lines of `label: mention; mention`. Bullets, quotes and
    asterisks are ignored.
    """
    parsed = ParsedOutput()
    for label, rest in _labelled_parts(output.splitlines(), labels, parsed.failures):
        for mention in rest.split(";"):
            mention = mention.strip(MARKUP)
            parts = [mention] if mention in text else mention.split(",")
            parsed.mentions += _mentions(label, parts)
    return parsed


def parse_ye2023(output: str, text: str, labels: Sequence[str]) -> ParsedOutput:
    """
    Reads the answer to `chat_messages` of the wording `ye2023`: `Entity: label: word, word | label: None`, in one line or
    several. The template separates entities by commas, so a comma always ends one.
    """
    parsed = ParsedOutput()
    lines = [line.strip(MARKUP).removeprefix("Entity:") for line in output.splitlines()]
    for label, rest in _labelled_parts([part for line in lines for part in line.split("|")], labels, parsed.failures):
        parsed.mentions += _mentions(label, rest.split(","))
    return parsed


def _labelled_parts(parts: Sequence[str], labels: Sequence[str], failures: Counter) -> Iterator[tuple[str, str]]:
    """The label and the text after its colon, for each part with a label."""
    # Labels may begin with a digit, or hold a colon.
    longest = sorted(labels, key=len, reverse=True)
    names = "|".join(f"({re.escape(label)})" for label in longest)
    start = re.compile(rf"[-•{MARKUP}]*(?:\d+(?:[.)]\s*|\s+))?[{MARKUP}]*(?:{names})[{MARKUP}]*:", re.IGNORECASE)
    for part in filter(None, map(str.strip, parts)):
        found = start.match(part)
        if found:
            yield longest[found.lastindex - 1], found.string[found.end() :]
        elif ":" in part:
            failures["unknown_label"] += 1
        elif part.casefold().rstrip(".") not in NOTHING:
            failures["malformed"] += 1


def _mentions(label: str, words: Sequence[str]) -> list[Mention]:
    stripped = [each.strip(MARKUP) for each in words]
    return [Mention(label, each) for each in stripped if each.casefold().rstrip(".") not in NOTHING]


@dataclass
class Located:
    """
    The places of mentions in the text.

    Args:
        spans (`list`): For each mention its `(start, end)`, end exclusive, or `None` for a hallucination.
        failures (`Counter`): Number of hallucinations by kind: `invented_text` does not occur in the text,
            `repeated_mention` was written more often than it occurs.
    """

    spans: list[tuple[int, int] | None] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)


def locate(mentions: Sequence[Mention], text: str) -> Located:
    """
    Finds mentions in the text: the n-th mention of a string is its n-th occurrence.

    Occurrences within a word count only if there is no other. Longer mentions are placed first, and occurrences that no other
    mention covers are preferred, so that `New York` is not found inside `New York Times` if it also occurs alone. Mentions
    with different labels share an occurrence if there are too few.
    """
    located = Located([None] * len(mentions))
    taken: list[tuple[int, int, str]] = []
    order = sorted(range(len(mentions)), key=lambda i: (mentions[i].start is None, -len(mentions[i].text)))
    for i in order:
        mention = mentions[i]
        if mention.start is not None and text.startswith(mention.text, mention.start):
            places = [mention.start]
        else:
            places = occurrences(mention.text, text)
        size = len(mention.text)
        free = [place for place in places if not any(s < place + size and place < e for s, e, _ in taken)]
        unused = [place for place in places if (place, place + size, mention.label) not in taken]
        if chosen := free or unused:
            located.spans[i] = (chosen[0], chosen[0] + size)
            taken.append((*located.spans[i], mention.label))
        else:
            located.failures["repeated_mention" if places else "invented_text"] += 1
    return located


def occurrences(words: str, text: str) -> list[int]:
    """Where `words` occur in the text: as whole words if they do, else anywhere."""
    if not words:
        return []
    found, position = [], text.find(words)
    while position >= 0:
        found.append(position)
        position = text.find(words, position + 1)
    whole = [
        start
        for start in found
        if not (start and _same_word(text[start - 1], words[0]))
        and not (start + len(words) < len(text) and _same_word(words[-1], text[start + len(words)]))
    ]
    return whole or found


def _same_word(left: str, right: str) -> bool:
    """Whether two characters belong to one word. From U+2E80 on (Chinese, Japanese) there are no spaces between words."""
    return left.isalnum() and right.isalnum() and ord(left) < 0x2E80 and ord(right) < 0x2E80
