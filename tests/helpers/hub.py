"""A cache of the Hub with a repository in it."""

import shutil
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE


def put_in_hub_cache(folder: Path, name: str) -> str:
    """What a download leaves behind."""
    owner, repository = name.split("/")
    home = Path(HF_HUB_CACHE) / f"models--{owner}--{repository}"
    commit = "0123456789abcdef" * 2 + "01234567"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    return name
