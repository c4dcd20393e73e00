"""Replacements of a mention: its type, a mask, a keyed hash. Invented names are in `pseudonyms`.

A style is a function of the mention and the name of its type. Knows nothing of models or files.
"""

import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

Style = Callable[[str, str], str]

METHODS = ("replace", "mask", "hash", "pseudonyms")
MASK = "*"
MIN_KEY_BYTES = 16
HASH_DIGITS = 16  # of 64: among a billion different mentions, two collide with a probability of about 3 %


def replaced(mention: str, entity_type: str) -> str:
    """The type's name: `[PERSON NAME]`."""
    return f"[{entity_type.upper()}]"


def masked(mention: str, entity_type: str) -> str:
    """As many stars as characters; line breaks stay."""
    return re.sub(r"[^\r\n]", MASK, mention)


class Hashed:
    """
    The type's name and a keyed hash, which identifies equal mentions without revealing them: HMAC-SHA256 of [`normalised`]
    mentions.

    Args:
        key (`bytes`): A secret of at least `MIN_KEY_BYTES`.

    Raises:
        ValueError: If it is shorter, because keys could then be guessed.
    """

    def __init__(self, key: bytes):
        self._key = checked_key(key)

    def __call__(self, mention: str, entity_type: str) -> str:
        digest = hmac.new(self._key, normalised(mention).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        return f"[{entity_type.upper()} {digest[:HASH_DIGITS]}]"


def normalised(mention: str) -> str:
    """The form in which equal mentions are equal: ignoring case, blanks and Unicode forms."""
    return " ".join(unicodedata.normalize("NFKC", mention).casefold().split())


def read_key(file: str | os.PathLike | None = None, variable: str | None = None) -> bytes | None:
    """
    A key from a file or an environment variable, stripped of blanks; `None` if neither is named.

    Raises:
        ValueError: If both are named, the variable is not set, or the key is too short.
        OSError: If the file cannot be read.
    """
    if file is not None and variable is not None:
        raise ValueError("--key-file and --key-env: give one of them")
    if file is not None:
        return checked_key(Path(file).read_bytes().strip(), f"--key-file {file}")
    if variable is None:
        return None
    if variable not in os.environ:
        raise ValueError(f"--key-env: there is no environment variable {variable!r}")
    return checked_key(os.fsencode(os.environ[variable]).strip(), f"--key-env {variable}")


def checked_key(key: bytes, where: str = "`key`") -> bytes:
    """
    Raises:
        ValueError: If the key is too short.
    """
    if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
        got = f"{len(key)}" if isinstance(key, bytes) else type(key).__name__
        raise ValueError(
            f"{where}: a key should have {MIN_KEY_BYTES} bytes or more, got {got}; `openssl rand -hex 32` makes one"
        )
    return key
