"""Files and folders that appear whole or not at all; what was there before stays until everything is written."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """
    Gives the name of a file beside `path` to write to, which then becomes `path`, or replaces a file of that name.

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, keep: str | None = None) -> Iterator[Path]:
    """
    Gives a new folder to write to, which then becomes `path`, or replaces a folder of that name.

    Args:
        keep (`str`, *optional*):
            A folder with a file of this name that is there by then is kept, as another process has written the same.

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as temporary:
        whole = Path(temporary) / "new"
        whole.mkdir()
        yield whole
        for file in whole.rglob("*"):
            if file.is_file():
                _to_disk(file)
        old = Path(temporary) / "old"
        if keep is None and path.exists():
            os.replace(path, old)
        try:
            os.replace(whole, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            if keep is None or not (path / keep).is_file():
                raise


def _to_disk(path: Path) -> None:
    """Waits until a file's content is written, so that no power cut leaves its name without it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def new_folder(path: str | Path, name: str = "output") -> Path:
    """
    The path of a folder that may be written.

    Raises:
        ValueError: If it exists and is not an empty folder.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"`{name}` must be a new or an empty folder, got {str(path)!r}")
    return path
