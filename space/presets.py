"""Contents for the page: presets with example texts, and an example of what a precise definition changes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ..schema_jpt import list_presets, resolve_schema
from .editor import document_of

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
FIRST = "general"
TITLES = {"ai-research": "AI research", "news-politics": "News and politics"}

# Table 8 of the paper: the same two types of MIT-Restaurant, defined in two ways.
GENERIC = {
    "name": "generic",
    "entity_types": [
        {"name": "location", "definition": "A geographical place", "colour": "#c9f2b0"},
        {"name": "price", "definition": "A monetary value", "colour": "#ffd6a5"},
    ],
}
PRECISE = {
    "name": "precise",
    "entity_types": [
        {
            "name": "location",
            "definition": "Any word that says where: named places, relative ones (nearby, around the corner, within "
            "two miles), directions (east, south side). Not the kind of place, such as cafe.",
            "colour": "#c9f2b0",
        },
        {
            "name": "price",
            "definition": "Amounts of money, and wording that says how expensive something is, such as cheap, pricey, "
            "affordable or under £20. Not praise of quality.",
            "colour": "#ffd6a5",
        },
    ],
}
COMPARED_TEXT = "a pricey french bistro around the corner from the station, and any cheap sushi nearby under £20"


@cache
def preset_choices() -> list[tuple[str, str]]:
    """Titles and names of the presets, for a list to choose from."""
    names = sorted(list_presets(), key=lambda name: (name != FIRST, name))
    return [(TITLES.get(name, name.replace("-", " ").capitalize()), name) for name in names]


def preset(name: str) -> dict[str, Any]:
    """A preset as the value of the table."""
    return document_of(resolve_schema(name))


@cache
def example_texts() -> dict[str, str]:
    """A text for each preset."""
    rows = [
        json.loads(line)
        for path in sorted(SAMPLES.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {row["entity_types"]: row["text"] for row in rows}
