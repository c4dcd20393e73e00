"""The manifest of a job, kept in its output: model and revision, types and their hash, options, files.

A job that is resumed is compared with it, and any difference is named.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...atomic_jpt import atomic_file
from ...schema_jpt import Schema

MANIFEST = "manifest.json"
NEW_OUTPUT = "; keep the earlier value, or name another --output"


def about_types(schema: Schema | None) -> dict[str, Any] | None:
    """Name, version and names of types, with a hash of all that the model reads of them and their thresholds."""
    if schema is None:
        return None
    content = schema.to_dict()["entity_types"]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"name": schema.name, "version": schema.version, "sha256": digest, "entity_types": content}


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], output: str) -> None:
    """
    Raises:
        ValueError: If a job is resumed with another model, other types or other options than in its manifest.
    """
    was, model = old.get("model") or {}, new["model"]
    if was.get("revision") != model["revision"]:  # A folder may have been renamed.
        names = [f"{each.get('name')} ({each.get('revision')})" for each in (was, model)]
        raise ValueError(f"--output {output}: the job was begun with the model {names[0]}, not {names[1]}{NEW_OUTPUT}")
    if (difference := _types_differ(old.get("types"), new["types"])) is not None:
        raise ValueError(f"--types: the job in {output} was begun with other types: {difference}{NEW_OUTPUT}")
    for name in {**old.get("settings", {}), **new["settings"]}:
        values = old.get("settings", {}).get(name), new["settings"].get(name)
        if values[0] != values[1]:
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{option}: the job in {output} was begun with {values[0]!r}, not {values[1]!r}{NEW_OUTPUT}"
            )


def _types_differ(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str | None:
    if (old or {}).get("sha256") == (new or {}).get("sha256"):
        return None
    before, after = ({each["name"]: each for each in (value or {}).get("entity_types", [])} for value in (old, new))
    for name in {**before, **after}:
        if name not in before or name not in after:
            return f"{name!r} {'is new' if name not in before else 'is no longer one'}"
        changed = [key for key in {**before[name], **after[name]} if before[name].get(key) != after[name].get(key)]
        if changed:
            return f"{name!r} has another {changed[0]}"
    return "their order is another"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """
    The manifest of the job in an output folder; `None` if the folder is empty or does not exist.

    Raises:
        ValueError: If the folder holds something else.
    """
    path = folder / MANIFEST
    if not path.exists():
        if folder.is_dir() and any(not each.name.startswith(".") for each in folder.iterdir()):
            raise ValueError(
                f"--output {folder}: the folder holds other things than a job; name a new or an empty one"
            )
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not the manifest of a job ({error})") from None
    if not isinstance(manifest, dict) or "settings" not in manifest:
        raise ValueError(f"{path}: not the manifest of a job")
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest, whole or not at all."""
    with atomic_file(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def ordered(names: Sequence[str], old: Sequence[Mapping[str, Any]], begun: int, sizes: Mapping[str, int]) -> list[str]:
    """
    The order in which a job is resumed: first the files that it has started, then all others.

    Args:
        names (`Sequence[str]`): The present files.
        old (`Sequence[Mapping]`): Those of the manifest: `name` and `bytes`.
        begun (`int`): How many of these were started.
        sizes (`Mapping[str, int]`): The size of each present file in bytes.

    Raises:
        ValueError: If a file that was started is gone or has changed.
    """
    done = [each["name"] for each in old[:begun]]
    for each in old[:begun]:
        if sizes.get(each["name"]) != each["bytes"]:
            what = "is gone" if each["name"] not in sizes else "has changed"
            raise ValueError(f"--input: {each['name']}, of which rows are done, {what}{NEW_OUTPUT}")
    return [*done, *(name for name in names if name not in {*done})]
