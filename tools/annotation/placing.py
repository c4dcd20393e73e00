"""Mentions written by a language model in, entities of the text out. Mentions not in the text are dropped and counted."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ...generative.formats import Mention
from ...generative.parsing import locate

Span = tuple[int, int, str]


def place(text: str, written: Iterable[Sequence[str]], present: Iterable[Span] = ()) -> tuple[list[Span], Counter]:
    """
    Entities without overlaps: the n-th time a string is written is its n-th occurrence in the text.

    Args:
        written (`Iterable[Sequence[str]]`): Mention and type of each, in the order of the answer.
        present (`Iterable[tuple[int, int, str]]`): Entities found before, which stay.

    Returns:
        `tuple[list[tuple[int, int, str]], Counter]`: All entities in the order of the text, and the numbers of mentions that
        were dropped by reason: `not_in_text`, `too_often`, `overlapping`.
    """
    kept = sorted(present)
    mentions = [Mention(label, text[start:end], start) for start, end, label in kept]
    mentions += [Mention(label, mention) for mention, label in written]
    located = locate(mentions, text)
    dropped = Counter(
        not_in_text=located.failures["invented_text"], too_often=located.failures["repeated_mention"], overlapping=0
    )
    found = [
        (*span, mention.label)
        for mention, span in zip(mentions[len(kept) :], located.spans[len(kept) :], strict=True)
        if span is not None
    ]
    # Of overlapping new entities the longest is kept.
    for start, end, label in sorted(found, key=lambda span: (span[0] - span[1], span)):
        if any(start < other_end and other_start < end for other_start, other_end, _ in kept):
            dropped["overlapping"] += (start, end, label) not in kept
        else:
            kept.append((start, end, label))
    return sorted(kept), dropped
