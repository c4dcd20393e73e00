"""Text in, word boundaries out; and the edges of a span cleaned. Knows nothing of tokens, types or probabilities.

Every rule reads one letter per character (see `_character_class`), so offsets are always those of the given text.
"""

import re
import unicodedata

_ZERO_WIDTH_SPACE, _ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER = "\u200b", "\u200c", "\u200d"

# Scripts that write words without spaces, and Hangul, which writes particles onto nouns: every character is a word.
_UNSPACED_SCRIPTS = (
    *("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA ", "KATAKANA-HIRAGANA ", "HALFWIDTH KATAKANA ", "BOPOMOFO "),
    *("YI SYLLABLE ", "HANGUL ", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ", "NEW TAI ", "JAVANESE ", "BALINESE "),
)
# Not of category M, yet never the start of a grapheme: Thai and Lao AM, half-width voiced sound marks.
_EXTENDING = "\u0e33\u0eb3\uff9e\uff9f" + _ZERO_WIDTH_NON_JOINER
_EXTENDING_NAMES = ("EMOJI MODIFIER ", "HANGUL JUNGSEONG ", "HANGUL JONGSEONG ")
_FIRST_TAG, _LAST_TAG = "\U000e0020", "\U000e007f"  # spell out regions in emoji flags
_JOINING_INSIDE_WORDS = "\u00b7\u05f3\u05f4"  # Catalan middle dot, Hebrew geresh and gershayim
_Ranges = list[tuple[int, int]]


class _CharacterClasses(dict):
    """Table for `str.translate`: one class letter per character, filled in as characters are met."""

    def __missing__(self, codepoint: int) -> str:
        self[codepoint] = _character_class(chr(codepoint))
        return self[codepoint]


def _character_class(character: str) -> str:
    """
    One letter: ' ' blank, f invisible format, j zero-width joiner, m mark (extends what precedes), l letter, d digit,
    c character of an unspaced script, u joins inside words, n joins digits, r regional indicator, s symbol,
    p punctuation.
    """
    category, name = unicodedata.category(character), unicodedata.name(character, "")
    if character.isspace() or category == "Cc" or character == _ZERO_WIDTH_SPACE:
        return " "
    if character == _ZERO_WIDTH_JOINER:
        return "j"
    if category[0] == "M" or character in _EXTENDING or _FIRST_TAG <= character <= _LAST_TAG:
        return "m"
    if name.startswith(_EXTENDING_NAMES):
        return "m"
    if category == "Cf":
        return "f"
    if category == "Nd":
        return "d"
    if category[0] in "LN":
        return "c" if name.startswith(_UNSPACED_SCRIPTS) else "l"
    if category == "Pc" or character in _JOINING_INSIDE_WORDS:
        return "u"
    if character in ".,":
        return "n"
    if category[0] == "P":
        return "p"
    return "r" if name.startswith("REGIONAL INDICATOR ") else "s"


_CLASSES = _CharacterClasses()

_WORD = re.compile(
    r"[ld][mj]*(?:(?:[fu]+(?=[ld])|(?<=d)n(?=d))?[ld][mj]*)*"  # letters and digits: "snake_case", "1,000"
    r"|c[mj]*"
    r"|rr?[mj]*"  # two regional indicators are a flag
    r"|s[mj]*(?:(?<=j)s[mj]*)*"  # an emoji sequence glued by zero-width joiners
    r"|[pun][mj]*"
    r"|m[mj]*"  # a mark with nothing to extend
)


def split_words(text: str) -> list[tuple[int, int]]:
    """
    Splits a text into the words that spans are made of.

    A word is a run of letters, digits and their marks, or a single punctuation mark or symbol. Blanks (whitespace,
    control characters, zero-width space) separate words and belong to none. Details:

    - `.` and `,` between digits stay inside ("1,000", "3.14"), and so do `_`, the Catalan and Hebrew in-word marks,
      soft hyphens and other invisible format characters between letters.
    - Apostrophes and hyphens are words of their own, since entities often end at them ("Obama's", "l'Italie",
      "Paris-based").
    - Every character of a script without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar, ...) is a word,
      together with its marks, and so is every Hangul syllable, as Korean particles are written onto the noun.
    - Marks, variation selectors, emoji modifiers, zero-width-joiner sequences and flags are never torn apart.

    Args:
        text (`str`): Any text.

    Returns:
        `list[tuple[int, int]]`: Character ranges, end exclusive, ascending and disjoint.
    """
    return [match.span() for match in _WORD.finditer(text.translate(_CLASSES))]


def _is_word(piece: str) -> bool:
    """Whether a piece from `split_words` is made of letters or digits, not a punctuation mark or symbol."""
    return _CLASSES[ord(piece[0])] in "ldc"


# ---- trimming -------------------------------------------------------------------------------------------------------

_ARTICLES = ("the", "a", "an")
_QUOTES = frozenset("\"'“”„‟‘’‚‛«»‹›")
_PERCENT_AND_PRIMES = frozenset("%‰％٪′″")
_ENDING_A_WORD = frozenset("#＃׳॰ฯ")  # "C#"; Hebrew, Devanagari and Thai signs of abbreviation
_ABBREVIATION = re.compile(
    r"inc|corp|cos?|ltd|llc|plc|pty|bros|dept|univ|assn|intl|natl|mfg|jr|sr|dr|mrs?|messrs|prof|rev|hon|gen|col|lt|sgt"
    r"|capt|cmdr|adm|gov|sen|rep|st|ste|mt|ft|ave|blvd|rd|hwy|vol|vs|etc|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct"
    r"|nov|dec|ph|esq|cie|cia",
    re.IGNORECASE,
)


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """
    Removes from the edges of a span what no annotator would mark: blanks, punctuation and a leading English article.

    Kept at the edges, since they belong to what they touch:

    - brackets and quotes with their partner inside the span, unless the pair wraps the whole span ("(PCI)" -> "PCI");
    - the period of an abbreviation or initial ("Inc.", "U.S.", "J."), and `!`, `?` in a capitalised name after which
      the sentence goes on ("Yahoo! said");
    - currency signs, degree signs, emoji and other symbols; percent and prime after a number; a sign before a number
      ("-5 °C", "< 5 mg"); `#`, `@` and a period before a word (".NET"); `+` and `#` after one ("C++"); the star of "A*".

    "the", "a", "an" in any case go only when a blank and another word follow inside the span. Nothing inside the span
    is changed.

    Args:
        text (`str`): The whole text; what stands around the span is looked at.
        start (`int`): First character of the span.
        end (`int`): One past its last character.

    Returns:
        `tuple[int, int]`: The new range; empty (`start == end`) when nothing is left.
    """
    words = [(start + left, start + right) for left, right in split_words(text[start:end])]
    pieces = [text[left:right] for left, right in words]
    partner = _match_brackets(text, words, pieces)
    first, last = 0, len(words) - 1
    article_allowed = True
    while first <= last:
        if partner[first] == last and first < last:
            first, last = first + 1, last - 1
        elif not _kept_at_right(text, words, pieces, partner, first, last):
            last -= 1
        elif not _kept_at_left(text, words, pieces, partner, first, last):
            first += 1
        elif article_allowed and _is_article(text, words, pieces, first, last):
            first, article_allowed = first + 1, False
        else:
            return words[first][0], words[last][1]
    return start, start


def _match_brackets(text: str, words: _Ranges, pieces: list[str]) -> list[int | None]:
    """For each piece the index of the bracket or quote that it pairs with inside the span, else None."""
    partner: list[int | None] = [None] * len(pieces)
    brackets: list[int] = []
    quote = None
    for index, (piece, (left, right)) in enumerate(zip(pieces, words)):
        category = unicodedata.category(piece[0])
        opener = None
        if piece[0] in _QUOTES:
            if text[left - 1 : left].isalnum() and text[right : right + 1].isalnum():
                continue  # an apostrophe
            opener, quote = quote, (index if quote is None else None)
        elif category == "Ps":
            brackets.append(index)
        elif category == "Pe" and brackets:
            opener = brackets.pop()
        if opener is not None and opener + 1 < index:
            partner[opener], partner[index] = index, opener
    return partner


def _kept_at_right(
    text: str, words: _Ranges, pieces: list[str], partner: list[int | None], first: int, last: int
) -> bool:
    piece = pieces[last]
    mark, category = piece[0], unicodedata.category(piece[0])
    if category[0] not in "PS" or category in ("Pc", "Sc", "So"):
        return True
    if partner[last] is not None:
        return partner[last] >= first
    if last == first:
        return False
    previous, attached = pieces[last - 1], words[last - 1][1] == words[last][0]
    if mark in _PERCENT_AND_PRIMES:
        return previous[-1].isnumeric()
    if not attached:
        return False
    if mark == ".":
        initial = len(previous) == 1 and previous.isupper()
        dotted = len(previous) == 1 and previous.islower() and last - 2 > first and pieces[last - 2] == "."
        return initial or dotted or _ABBREVIATION.fullmatch(previous) is not None
    if mark in "!?":
        following = text[words[last][1] : words[last][1] + 8].lstrip()[:1]
        return previous[0].isupper() and (following.islower() or following == ",")
    if mark in "+−":
        return text[words[first][0] : words[last][0]].rstrip(mark)[-1:].isalnum()
    if mark == "*":
        return len(previous) == 1 and previous.isalpha()
    return mark in _ENDING_A_WORD and _is_word(previous)


def _kept_at_left(
    text: str, words: _Ranges, pieces: list[str], partner: list[int | None], first: int, last: int
) -> bool:
    piece = pieces[first]
    mark, category = piece[0], unicodedata.category(piece[0])
    if category[0] not in "PS" or category in ("Pc", "Sc", "So"):
        return True
    if partner[first] is not None:
        return partner[first] <= last
    if first == last:
        return False
    following, attached = pieces[first + 1], words[first][1] == words[first + 1][0]
    before_number = following[0].isnumeric() or unicodedata.category(following[0]) == "Sc"
    if category == "Sm" and mark not in "|=":
        return before_number
    if mark == "§":
        return before_number
    if not attached:
        return False
    if mark in "#@＃＠":
        return _is_word(following)
    if mark in _PERCENT_AND_PRIMES:
        return before_number
    after_word = text[words[first][0] - 1 : words[first][0]].isalnum()
    if mark == ".":
        return _is_word(following) and not after_word
    return (category == "Pd" or mark in "'’") and before_number and not after_word


def _is_article(text: str, words: _Ranges, pieces: list[str], first: int, last: int) -> bool:
    return (
        pieces[first].lower() in _ARTICLES
        and first < last
        and text[words[first][1]].isspace()
        and any(_is_word(piece) for piece in pieces[first + 1 : last + 1])
    )


def trim_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Removes blanks (as in [`split_words`]) and invisible format characters from both edges of a range."""
    while start < end and _is_blank(text[start]):
        start += 1
    while start < end and _is_blank(text[end - 1]):
        end -= 1
    return start, end


def _is_blank(character: str) -> bool:
    return _CLASSES[ord(character)] in " f"
