"""Text in, word boundaries out; a span in, its trimmed boundaries out. Knows nothing of tokens, types or probabilities.

Every rule reads one letter per character (see `_character_class`), so offsets are always those of the given text.
"""

import re
import unicodedata
from dataclasses import dataclass

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
    """Table for `str.translate`: one class letter per character, filled in on demand."""

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

# A tag of HTML or XML, which is not part of the text proper.
_TAG = re.compile(r"""</?[A-Za-z][\w:.-]*(?:\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+))*\s*/?>""")
_WORD = re.compile(
    r"[ld][mj]*(?:(?:[fu]+(?=[ld])|(?<=d)n(?=d))?[ld][mj]*)*"  # letters and digits: "snake_case", "1,000"
    r"|t+"  # a tag of markup
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
    - A tag of HTML or XML ("</a>", "<br/>") is one word, as nobody's name ends within it.
    - Marks, variation selectors, emoji modifiers, zero-width-joiner sequences and flags are never torn apart.

    Args:
        text (`str`): Any text.

    Returns:
        `list[tuple[int, int]]`: Character ranges, end exclusive, ascending and disjoint.
    """
    classes = text.translate(_CLASSES)
    if "<" in text:
        classes = _with_tags(text, classes)
    return [match.span() for match in _WORD.finditer(classes)]


def _with_tags(text: str, classes: str) -> str:
    pieces, end = [], 0
    for tag in _TAG.finditer(text):
        pieces += [classes[end : tag.start()], "t" * len(tag[0])]
        end = tag.end()
    return "".join([*pieces, classes[end:]])


def _is_word(piece: str) -> bool:
    """Whether a piece from `split_words` is made of letters or digits, not a punctuation mark or symbol."""
    return _CLASSES[ord(piece[0])] in "ldc"


# ---- trimming -------------------------------------------------------------------------------------------------------

_CONJUNCTIONS = frozenset({"and", "or"})
_ARTICLES = ("the", "a", "an")
_QUOTES = frozenset("\"'“”„‟‘’‚‛«»‹›")
_APOSTROPHES = frozenset("'’‘")
_PERCENT_AND_PRIMES = frozenset("%‰％٪′″")
_ENDING_A_WORD = frozenset("#＃׳॰ฯ")  # "C#"; Hebrew, Devanagari and Thai signs of abbreviation
_ABBREVIATION = re.compile(
    r"inc|corp|cos?|ltd|llc|plc|pty|bros|dept|univ|assn|intl|natl|mfg|jr|sr|dr|mrs?|messrs|prof|rev|hon|gen|col|lt|sgt"
    r"|capt|cmdr|adm|gov|sen|rep|st|ste|mt|ft|ave|blvd|rd|hwy|vol|vs|etc|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct"
    r"|nov|dec|ph|esq|cie|cia",
    re.IGNORECASE,
)


@dataclass
class _Trimmed:
    """
    A span being trimmed: its words `first` to `last`, the text around them, and for each bracket or quote its partner in
    the span.
    """

    text: str
    words: _Ranges
    pieces: list[str]
    partner: list[int | None]
    first: int
    last: int

    def attached(self, left: int) -> bool:
        """Whether nothing is between a word and the next."""
        return self.words[left][1] == self.words[left + 1][0]

    def before(self) -> str:
        """The character before the span, if any."""
        return self.text[: self.words[self.first][0]][-1:]

    def after(self) -> str:
        """The character after the span, if any."""
        return self.text[self.words[self.last][1] :][:1]


def is_mark(piece: str) -> bool:
    """Punctuation, a sign or a tag of markup, which may be trimmed. Currency, emoji and `_` count as words."""
    category = unicodedata.category(piece[0])
    return category[0] in "PS" and category not in ("Pc", "Sc", "So")


def _before_number(span: _Trimmed) -> bool:
    following = span.pieces[span.first + 1]
    return following[0].isnumeric() or unicodedata.category(following[0]) == "Sc"


# Each rule decides whether a mark at the right or left boundary of a span belongs to it. `jpt-ner evaluate --trimming`
# shows the gains and losses of each on labelled data, as it does for `is_mark` and `is_article`.


def _closing(span: _Trimmed) -> bool:
    """A bracket or quote whose partner is in the span: "Heroes (album)"."""
    partner = span.partner[span.last]
    return partner is not None and partner >= span.first


def _unit(span: _Trimmed) -> bool:
    """Percent or a prime after a number: "50 %"."""
    return span.pieces[span.last][0] in _PERCENT_AND_PRIMES and span.pieces[span.last - 1][-1].isnumeric()


def _abbreviation(span: _Trimmed) -> bool:
    """The period of an abbreviation or initial: "Inc.", "J.", "p.m."."""
    previous = span.pieces[span.last - 1]
    if span.pieces[span.last] != "." or not span.attached(span.last - 1):
        return False
    initial = len(previous) == 1 and previous.isupper()
    dotted = len(previous) == 1 and span.last - 2 > span.first and span.pieces[span.last - 2] == "."
    return initial or dotted or _ABBREVIATION.fullmatch(previous) is not None


def _exclamation(span: _Trimmed) -> bool:
    """`!` or `?` of a capitalised name after which the sentence continues: "Yahoo! said"."""
    following = span.text[span.words[span.last][1] :][:8].lstrip()[:1]
    return (
        span.pieces[span.last][0] in "!?"
        and span.attached(span.last - 1)
        and span.pieces[span.last - 1][0].isupper()
        and (following.islower() or following == ",")
    )


def _plus(span: _Trimmed) -> bool:
    """`+` on a word: "C++", "HER2+"."""
    mark = span.pieces[span.last][0]
    inside = span.text[span.words[span.first][0] : span.words[span.last][0]]
    return mark == "+" and span.attached(span.last - 1) and inside.rstrip(mark)[-1:].isalnum()


def _minus(span: _Trimmed) -> bool:
    """A minus that ends a word: "HER2-", "AB-"; not "Paris-based"."""
    return (
        span.pieces[span.last][0] in "-−‐–"
        and span.attached(span.last - 1)
        and _is_word(span.pieces[span.last - 1])
        and not span.after().isalnum()
    )


def _star(span: _Trimmed) -> bool:
    """The star of "A*"."""
    previous = span.pieces[span.last - 1]
    return (
        span.pieces[span.last][0] == "*" and span.attached(span.last - 1) and len(previous) == 1 and previous.isalpha()
    )


def _ending(span: _Trimmed) -> bool:
    """A mark that ends words in some languages and notations: "C#"."""
    return (
        span.pieces[span.last][0] in _ENDING_A_WORD
        and span.attached(span.last - 1)
        and _is_word(span.pieces[span.last - 1])
    )


def _folder(span: _Trimmed) -> bool:
    """The final slash of a path or address that contains another: "/etc/nginx/"."""
    return (
        span.pieces[span.last][0] in "/\\"
        and span.attached(span.last - 1)
        and span.pieces[span.last] in span.pieces[span.first : span.last]
    )


def _opening(span: _Trimmed) -> bool:
    """A bracket or quote whose partner is in the span: "(555) 123-4567"."""
    partner = span.partner[span.first]
    return partner is not None and partner <= span.last


def _sign(span: _Trimmed) -> bool:
    """A sign before a number: "< 5 mg", "§ 5", "-5 °C", "'90"."""
    mark, attached = span.pieces[span.first][0], span.attached(span.first)
    category = unicodedata.category(mark)
    if mark == "§" or (category == "Sm" and mark not in "|="):
        return _before_number(span)
    if not (attached and _before_number(span)):
        return False
    return mark in _PERCENT_AND_PRIMES or ((category == "Pd" or mark in _APOSTROPHES) and not span.before().isalnum())


def _handle(span: _Trimmed) -> bool:
    """`#` or `@` on a word: "@user_1"."""
    return (
        span.pieces[span.first][0] in "#@＃＠" and span.attached(span.first) and _is_word(span.pieces[span.first + 1])
    )


def _leading(span: _Trimmed) -> bool:
    """A period, slash or tilde that a name begins with: ".NET", "/etc/hosts"."""
    mark = span.pieces[span.first][0]
    return (
        (mark == "." and _is_word(span.pieces[span.first + 1]) or mark in "/~")
        and span.attached(span.first)
        and not span.before().isalnum()
    )


def _elision(span: _Trimmed) -> bool:
    """An apostrophe, not a quote, that a name begins with: "'t Hooft", "'Ndrangheta"."""
    mark = span.pieces[span.first][0]
    return (
        mark in _APOSTROPHES
        and span.attached(span.first)
        and not span.before().isalnum()
        and not _QUOTES & set(span.text[span.words[span.last][1] :])
    )


RULES_AT_RIGHT = (_closing, _unit, _abbreviation, _exclamation, _plus, _minus, _star, _ending, _folder)
RULES_AT_LEFT = (_opening, _sign, _handle, _leading, _elision)


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """
    Trims the boundaries of a span: blanks, punctuation, tags of markup, a leading English article and a trailing "and" or "or"
    are removed.

    Marks that belong to the word beside them stay, as the rules of `RULES_AT_RIGHT` and `RULES_AT_LEFT` decide. Brackets
    and quotes around the whole span are removed ("(PCI)" -> "PCI").

    "the", "a", "an" are removed only if a blank and another word follow inside the span. A capitalised one stays: within a
    sentence it belongs to the name ("in The Hague"), and at the beginning of one the span was found with it or without it.
    Nothing inside the span is changed.

    Args:
        text (`str`): The whole text; the rules look at what is around the span.
        start (`int`): First character of the span.
        end (`int`): One past its last character.

    Returns:
        `tuple[int, int]`: The new range; empty (`start == end`) when nothing is left.
    """
    words = [(start + left, start + right) for left, right in split_words(text[start:end])]
    pieces = [text[left:right] for left, right in words]
    span = _Trimmed(text, words, pieces, _match_brackets(text, words, pieces), 0, len(words) - 1)
    article_allowed = True
    while span.first <= span.last:
        if span.first < span.last and span.partner[span.first] == span.last:
            span.first, span.last = span.first + 1, span.last - 1
        elif is_mark(pieces[span.last]) and (span.first == span.last or not any(r(span) for r in RULES_AT_RIGHT)):
            span.last -= 1
        elif is_mark(pieces[span.first]) and (span.first == span.last or not any(r(span) for r in RULES_AT_LEFT)):
            span.first += 1
        elif article_allowed and is_article(span):
            span.first, article_allowed = span.first + 1, False
        elif span.first < span.last and pieces[span.last] in _CONJUNCTIONS:
            span.last -= 1
        else:
            return words[span.first][0], words[span.last][1]
    return start, start


def _match_brackets(text: str, words: _Ranges, pieces: list[str]) -> list[int | None]:
    """For each piece the index of its matching bracket or quote inside the span, else `None`."""
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


def is_article(span: _Trimmed) -> bool:
    """Whether the span begins with an article that is not part of the name."""
    return (
        span.pieces[span.first] in _ARTICLES
        and span.first < span.last
        and span.text[span.words[span.first][1]].isspace()
        and any(map(_is_word, span.pieces[span.first + 1 : span.last + 1]))
    )


def trim_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Removes blanks (as in [`split_words`]) and invisible format characters from both boundaries of a range."""
    while start < end and _is_blank(text[start]):
        start += 1
    while start < end and _is_blank(text[end - 1]):
        end -= 1
    return start, end


def _is_blank(character: str) -> bool:
    return _CLASSES[ord(character)] in " f"
