"""Files and folders that appear whole or not at all; what was there before stays until everything is written."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"
MAX_NAME = 100  # bytes of a name that a temporary one repeats, as there are limits to the length of names


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """
    Gives the name of a file beside `path` to write to, which then becomes `path`, or replaces a file of that name. A
    link is written through. What runs that were killed have left of the same file is removed.

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    _remove_leftovers(path)
    temporary = path.with_name(f"{_prefix(path)}{uuid.uuid4().hex}{TEMPORARY}")
    temporary.touch()
    try:
        with _held(temporary):
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, keep: str | None = None) -> Iterator[Path]:
    """
    Gives a new folder to write to, which then becomes `path`, or replaces a folder of that name. What runs that were
    killed have left of the same folder is removed.

    Args:
        keep (`str`, *optional*):
            A folder with a file of this name that is there by then is kept, as another process has written the same.

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=_prefix(path), suffix=TEMPORARY) as temporary,
        _held(Path(temporary)),
    ):
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


def _prefix(path: Path) -> str:
    """How the names of temporary files begin: with what they are to be."""
    return f".{path.name.encode()[:MAX_NAME].decode(errors='ignore')}-"


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Marks a temporary file or folder as one that is being written, for as long as this process lives."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Locks a file; whether nobody had it, which not all file systems can tell."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_leftovers(path: Path) -> None:
    """Removes temporary files or folders beside `path` that nobody writes any more."""
    prefix = _prefix(path)
    if fcntl is None or not path.parent.is_dir():
        return
    for each in list(path.parent.iterdir()):
        if not (each.name.startswith(prefix) and each.name.endswith(TEMPORARY)):
            continue
        try:
            descriptor = os.open(each, os.O_RDONLY)
        except OSError:
            continue
        try:
            if _lock(descriptor):
                shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
        except OSError:
            pass  # Somebody else's, or gone meanwhile.
        finally:
            os.close(descriptor)


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
