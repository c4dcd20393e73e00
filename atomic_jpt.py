"""Files and folders that appear whole or not at all; previous ones stay until everything is written.

Output is written to a hidden folder beside its destination, `.NAME.XXXXXXXXXXXX.tmp`, which is locked while its process
lives. The next run that writes the same output removes those of killed processes.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where leftovers stay
    fcntl = None  # type: ignore[assignment]

MAX_NAME_BYTES = 200  # of an output's name within that of its hidden folder; file systems allow 255 in all
TOKEN = re.compile(r"[0-9a-f]{12}\.tmp")
# Files of a saved model that must not outlive it: a later model in their folder would be loaded with them.
MODEL_FILES = re.compile(
    r"(adapter_)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|(adapter_|generation_|tokenizer_)?config\.json"
    r"|tokenizer\.\w+|special_tokens_map\.json|added_tokens\.json|vocab\.\w+|merges\.txt|(additional_)?chat_templates?(\.\w+)?"
)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """
    Yields the path of a temporary file, which becomes `path` at the end, replacing a file of that name.

    Links are followed, and the permissions of a replaced file are kept. Pipes and devices are written to directly.

    Raises:
        OSError: If it cannot be written, or `path` is a folder; nothing is left behind then.
    """
    path = _behind_links(path)
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
    if mode and not stat.S_ISREG(mode):
        yield path
        return
    with _workspace(path.parent, path) as folder:
        temporary = folder / path.name
        yield temporary
        _to_disk(temporary)
        with _named(path):
            if mode:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.replace(temporary, path)


@contextmanager
def atomic_folder(
    path: str | Path, keep: str | None = None, replaced: re.Pattern[str] | None = None
) -> Iterator[Path]:
    """
    Yields a new folder to write to, which becomes `path` at the end, replacing a folder of that name.

    An empty folder is filled rather than replaced, as it may be the current directory or a mounted volume.

    Args:
        path (`str` or `Path`): The folder.
        keep (`str`, *optional*):
            If another process has meanwhile written a folder with a file of this name, that folder is kept.
        replaced (`re.Pattern`, *optional*):
            Names of what the new folder replaces, such as `MODEL_FILES`, besides its own; all else in the old one stays.
            By default nothing of the old one stays.

    Raises:
        OSError: If it cannot be written; nothing is left behind then.
    """
    path = _behind_links(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    filled = keep is None and path.is_dir() and not _contents(path)
    with _workspace(path if filled else path.parent, path) as workspace:
        whole = workspace / "new"
        whole.mkdir()
        yield whole
        for file in whole.rglob("*"):
            if file.is_file():
                _to_disk(file)
        if replaced is not None and path.is_dir() and not filled:
            _carry_over(path, whole, replaced)
        with _named(path):
            if filled:
                for child in whole.iterdir():
                    os.replace(child, path / child.name)
            else:
                _replace_folder(whole, path, workspace / "old", keep)


def _carry_over(old: Path, new: Path, replaced: re.Pattern[str]) -> None:
    """Puts into the new folder what stays of the old one, which remains as it is, so that a killed run loses nothing."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        if Path(folder) != old:
            return []
        own = _hidden_prefix(old)
        return [
            name for name in names if (new / name).exists() or replaced.fullmatch(name) or _is_workspace(name, own)
        ]

    shutil.copytree(old, new, symlinks=True, ignore=left_out, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _replace_folder(whole: Path, path: Path, old: Path, keep: str | None) -> None:
    if keep is None and path.exists():
        os.replace(path, old)
    try:
        os.replace(whole, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        if keep is None or not (path / keep).is_file():
            raise


def new_folder(path: str | Path, name: str = "output") -> Path:
    """
    The path of a new or empty folder.

    Raises:
        ValueError: If it exists and is not an empty folder.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not _contents(path)):
        raise ValueError(f"`{name}` must be a new or an empty folder, got {str(path)!r}")
    return path


def _contents(path: Path) -> list[Path]:
    """Contents of a folder, except leftovers of a killed run that was to fill it."""
    prefix = _hidden_prefix(path)
    return [each for each in path.iterdir() if not _is_workspace(each.name, prefix)]


# ---- hidden folders -------------------------------------------------------------------------------------------------


@contextmanager
def _workspace(parent: Path, path: Path) -> Iterator[Path]:
    """Yields a locked hidden folder in `parent` for the output `path`, and removes it at the end."""
    prefix = _hidden_prefix(path)
    with _named(path):
        folder, lock = _locked_folder(parent, prefix)
        _remove_leftovers(parent, prefix, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _hidden_prefix(path: Path) -> str:
    name = path.name.encode(errors="surrogateescape")[:MAX_NAME_BYTES].decode(errors="ignore")
    return f".{name}."


def _is_workspace(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and TOKEN.fullmatch(name, len(prefix)) is not None


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int | None]:
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(6)}.tmp"
        folder.mkdir(mode=0o700)
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another run removed it as a leftover before it was locked
            continue


def _lock(folder: Path) -> int | None:
    """
    Locks a folder until the returned descriptor is closed or the process ends; `None` if locks are not supported.

    Raises:
        OSError: If another process holds the lock, or the folder is gone.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # fails if it was removed before it was locked
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _remove_leftovers(parent: Path, prefix: str, own: Path) -> None:
    for entry in os.scandir(parent):
        if not _is_workspace(entry.name, prefix) or entry.name == own.name or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            lock = _lock(Path(entry.path))
        except OSError:
            continue
        if lock is not None:
            shutil.rmtree(entry.path, ignore_errors=True)
            os.close(lock)


# ---- paths ----------------------------------------------------------------------------------------------------------


def _behind_links(path: str | Path) -> Path:
    """The absolute path of a file or folder, with links resolved."""
    return Path(os.path.realpath(path))


def _mode(path: Path) -> int:
    """Type and permissions of a path; 0 if nothing exists there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Makes system errors name the output instead of the hidden folder."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _to_disk(path: Path) -> None:
    """Waits until a file's content is on the disk, so that a power cut cannot leave an empty file under its name."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
