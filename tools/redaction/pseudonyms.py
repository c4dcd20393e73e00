"""Invented names in place of real ones, the same for the same person throughout a job; other mentions are numbered.

Names are replaced word by word, so that "Marta Kovac", "Kovac" and "M. Kovac" stay one person whichever comes first.
"""

import random
import re
import secrets
import string
import unicodedata
from collections.abc import Mapping
from typing import Any

from .styles import normalised

# Kept, because they identify nobody.
TITLES = frozenset("mr mrs ms miss mx dr prof professor sir dame judge justice rev herr frau jr sr".split())
PARTICLES = frozenset("von van der den de del della da di du dos bin ibn and of the".split())  # in lower case
WORD = re.compile(r"""[^\s\-‐‑–—.,;:/&()\[\]{}"“”„«»]+""")
POSSESSIVE = re.compile(r"['’]s?$")
VOWELS = "aeiou"
CONSONANTS = "bdfglmnrstv"
ENDINGS = ("", "l", "n", "r", "s", "th", "nd")
TRIES = 20  # attempts to find an unused name, before names get longer


def is_person(entity_type: str) -> bool:
    """Whether mentions of a type of this name are names of people."""
    name = entity_type.casefold()
    return "person" in name or name in ("per", "name", "names")


class Pseudonyms:
    """
    A style (see `styles`) that remembers its replacements.

    Args:
        mapping (`dict`, *optional*): The replacements of another job ([`Pseudonyms.mapping`]), to continue with.
        chance (`random.Random`, *optional*): Draws the names. Defaults to the system's source of randomness.

    Raises:
        ValueError: If the mapping is malformed.
    """

    def __init__(self, mapping: Mapping[str, Any] | None = None, chance: random.Random | None = None):
        self._chance = chance or secrets.SystemRandom()
        given = {"initials": {}, "words": {}, "numbers": {}} if mapping is None else mapping
        if not all(isinstance(given.get(key), Mapping) for key in ("initials", "words", "numbers")):
            raise ValueError("`mapping` should have the keys initials, words and numbers")
        self._initials: dict[str, str] = dict(given["initials"])
        self._words: dict[str, str] = dict(given["words"])
        self._numbers: dict[str, dict[str, int]] = {key: dict(each) for key, each in given["numbers"].items()}
        self._taken = {word.casefold() for word in self._words.values()}

    @property
    def mapping(self) -> dict[str, Any]:
        """All replacements so far, as plain values."""
        return {"initials": self._initials, "words": self._words, "numbers": self._numbers}

    def __call__(self, mention: str, entity_type: str) -> str:
        if is_person(entity_type):
            return self._name(mention)
        known = self._numbers.setdefault(entity_type, {})
        return f"[{entity_type.upper()} {known.setdefault(normalised(mention), len(known) + 1)}]"

    def _name(self, mention: str) -> str:
        mention = unicodedata.normalize("NFC", mention)
        words = WORD.findall(mention)
        all_kept = all(map(_is_kept, words))  # a surname such as Judge
        return WORD.sub(
            lambda match: match[0] if _is_kept(match[0]) and not all_kept else self._word(match[0]), mention
        )

    def _word(self, word: str) -> str:
        ending = POSSESSIVE.search(word)
        stem, rest = (word[: ending.start()], ending[0]) if ending else (word, "")
        if not stem:
            return word
        if len(stem) == 1:
            return self._initial(stem) + rest
        key = normalised(stem)
        if key not in self._words:
            self._words[key] = self._invent(self._initial(key[0]))
        invented = self._words[key]
        styled = invented.upper() if stem.isupper() else invented.lower() if stem.islower() else invented
        return styled + rest

    def _initial(self, letter: str) -> str:
        """The initial of the pseudonyms of all names with this initial, so that initials match names."""
        key = unicodedata.normalize("NFKD", letter.casefold())[0]
        if key not in self._initials:
            free = sorted(set(string.ascii_uppercase) - {*self._initials.values(), key.upper()})
            self._initials[key] = self._chance.choice(free or string.ascii_uppercase)
        return self._initials[key]

    def _invent(self, initial: str) -> str:
        syllables = 1
        while True:
            for _ in range(TRIES):
                name = initial + self._syllables(syllables, initial)
                if name.casefold() not in self._taken and name.casefold() not in self._words:
                    self._taken.add(name.casefold())
                    return name
            syllables += 1

    def _syllables(self, number: int, initial: str) -> str:
        start = "" if initial.lower() in VOWELS else self._chance.choice(VOWELS)
        middle = "".join(self._chance.choice(CONSONANTS) + self._chance.choice(VOWELS) for _ in range(number))
        return start + middle + self._chance.choice(ENDINGS)


def _is_kept(word: str) -> bool:
    return word.casefold() in TITLES or word in PARTICLES
