"""Writes `presets_jpt.py` from schemas/*.yaml, so that the presets ship with the code: `make presets`.

The presets are edited as YAML, in the format of schema files. The Hub's loader copies only Python files, so the code reads
them from a generated Python file.
"""

import json

from ..atomic_jpt import atomic_file
from ..schema_jpt import load_schema
from .loading import HOME

HEAD = '''"""The presets by name, in the file format of `schema_jpt`. Made of schemas/*.yaml by `make presets`: edit those."""

import json
from typing import Any

PRESETS: dict[str, dict[str, Any]] = json.loads(r"""
{content}
""")
'''


def presets_code() -> str:
    """
    The content of `presets_jpt.py`.

    Raises:
        ValueError: With `FILE:LINE: ` in front, if a file is no schema.
    """
    presets = {path.stem: load_schema(path).to_dict() for path in sorted((HOME / "schemas").glob("*.yaml"))}
    return HEAD.replace("{content}", json.dumps(presets, indent=1, ensure_ascii=False))


def main() -> None:
    """Entry point."""
    with atomic_file(HOME / "presets_jpt.py") as temporary:
        temporary.write_text(presets_code(), encoding="utf-8")


if __name__ == "__main__":
    main()
