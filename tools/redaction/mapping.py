"""The encrypted file of a job's pseudonyms, read and written with a key. It is never written in plain text."""

import base64
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...optional_jpt import check_installed, import_optional
from .styles import checked_key

FORMAT = "jpt-ner pseudonyms 1"
USE = "the file of pseudonyms (--mapping)"


class MappingFile:
    """
    A file that a job's pseudonyms are read from, if it exists, and written to.

    The key may be a passphrase: Fernet's own key is derived from it by scrypt.

    Args:
        path (`str` or `Path`): The file.
        key (`bytes`): The key.

    Raises:
        ImportError: If `cryptography` is not installed.
        ValueError: If the key is too short, the file is not of this kind, or it was written with another key.
    """

    def __init__(self, path: str | os.PathLike, key: bytes):
        self.path = Path(path)
        check_installed("cryptography", USE)
        self._fernet_module = import_optional("cryptography.fernet", USE)
        given = self._stored()
        self._salt = base64.b64decode(given["salt"]) if given else secrets.token_bytes(16)
        derived = hashlib.scrypt(checked_key(key), salt=self._salt, n=2**14, r=8, p=1, dklen=32)
        self._fernet = self._fernet_module.Fernet(base64.urlsafe_b64encode(derived))
        self._content = given["content"] if given else None

    def read(self) -> dict[str, Any] | None:
        """
        What the file holds: `initials`, `words` and `numbers`, as [`Pseudonyms`] remembers them; `None` without a file.

        Raises:
            ValueError: If it was written with another key, or is damaged.
        """
        if self._content is None:
            return None
        try:
            return json.loads(self._fernet.decrypt(self._content.encode()))
        except self._fernet_module.InvalidToken:
            raise ValueError(
                f"{self.path}: cannot be opened: it was written with another key, or is damaged"
            ) from None

    def write(self, mapping: dict[str, Any]) -> None:
        """Replaces the file's content."""
        token = self._fernet.encrypt(json.dumps(mapping, ensure_ascii=False).encode("utf-8", "replace")).decode()
        content = {"format": FORMAT, "salt": base64.b64encode(self._salt).decode(), "content": token}
        with atomic_file(self.path) as temporary:
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            temporary.chmod(0o600)

    def _stored(self) -> dict[str, str] | None:
        if not self.path.exists():
            return None
        try:
            content = json.loads(self.path.read_bytes())
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"{self.path}: is not a file of pseudonyms, and is left as it is; name another --mapping")
        return content
