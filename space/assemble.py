"""Assembles a folder that is ready to be pushed as a Hugging Face Space: `python -m jpt_ner.space.assemble FOLDER`.

Files are copied unchanged, but for two: the model card is replaced by the Space's README, whose header a Space needs, and
requirements.txt loses what only the tests need.
"""

import argparse
import shutil
import sys
from pathlib import Path

from ..tools.loading import HOME

FILES = (
    *("app.py", "__init__.py", "*_jpt.py", "LICENSE", "requirements.txt"),
    *("config.json", "model.safetensors", "tokenizer*.json", "special_tokens_map.json", "chat_template.jinja"),
    *("schemas/*.yaml", "samples/*.jsonl", "space/*.*"),
    *("generative/*.py", "tools/**/*.py", "tools/**/templates/*"),
)


def assemble(folder: Path) -> list[Path]:
    """
    Copies the files of the Space.

    Args:
        folder (`Path`): A new or empty folder, or an earlier one of this kind, whose content but for `.git` is replaced.

    Returns:
        `list[Path]`: The files, relative to the folder.

    Raises:
        ValueError: If the folder holds something else, such as the sources.
    """
    if folder.exists():
        old = [each for each in folder.iterdir() if each.name != ".git"]
        card = folder / "README.md"
        # The sources have a model card there.
        if old and not (card.is_file() and "\nsdk: gradio\n" in card.read_text(encoding="utf-8")):
            raise ValueError(f"{folder} holds something else than a Space; name a new folder")
        for each in old:
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    copied = []
    for pattern in FILES:
        for source in sorted(HOME.glob(pattern)):
            place = Path("README.md") if source.name == "README.md" else source.relative_to(HOME)
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / place)
            copied.append(place)
    requirements = folder / "requirements.txt"
    requirements.write_text(requirements.read_text(encoding="utf-8").partition("\n# Tests\n")[0], encoding="utf-8")
    return copied


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        copied = assemble(folder)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{folder}: {len(copied)} files. Push them with: hf upload OWNER/NAME {folder} . --repo-type space")


if __name__ == "__main__":
    main()
