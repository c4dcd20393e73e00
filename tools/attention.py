"""Attention from the second copy of a text to the first (Figures 3 and 7 of the paper): a model and a text in, a heat map out.

Knows the layout `prompt · x · SEP · x`, and nothing of how entities are found.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..atomic_jpt import atomic_file
from ..attention_jpt import PackedLayout, Segment
from ..flex_jpt import is_packed
from ..inputs_jpt import PromptStyle, build_prompt, encode_texts
from ..optional_jpt import check_installed, import_optional
from ..reading_jpt import lay_out
from ..schema_jpt import Schema

READING = "twice"
SUFFIXES = (".png", ".svg", ".json")
# The attention of all layers over prompt and both copies is in memory at once, and a longer map would be unreadable.
MAX_TOKENS = 200


@dataclass(frozen=True)
class AttentionMap:
    """
    Args:
        text (`str`): The text.
        offsets (`np.ndarray` of shape `(n, 2)`): Characters of its tokens.
        layers (`list[int]`): The averaged layers, from 0.
        weights (`np.ndarray` of shape `(n, n)`):
            Attention from tokens of the second copy (rows) to those of the first (columns), the mean over the heads of
            these layers. The rest of each row, up to 1, goes to the prompt, the separator and the second copy itself.
    """

    text: str
    offsets: np.ndarray
    layers: list[int]
    weights: np.ndarray

    @property
    def tokens(self) -> list[str]:
        """The characters of each token."""
        return [self.text[start:end] for start, end in self.offsets.tolist()]

    def strongest(self) -> list[tuple[str, str, float]]:
        """Each token, the other token that it attends to most, and the weight. Empty for a single token."""
        if len(self.weights) < 2:
            return []
        others = self.weights.copy()
        np.fill_diagonal(others, -1)
        names = [token.strip() for token in self.tokens]
        return [(names[row], names[int(each.argmax())], float(each.max())) for row, each in enumerate(others)]


def parse_layers(text: str, number: int) -> list[int]:
    """
    Layers such as `all`, `5`, `0-9` or `0-4,29`, counted from 0.

    Raises:
        ValueError: If it has another form, or names a layer that a model with so many layers does not have.
    """
    if text.strip() == "all":
        return list(range(number))
    layers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < number:
            raise ValueError(
                f"`layers` must be 'all' or layers from 0 to {number - 1}, such as '0-{number - 1}' or '0,{number - 1}', "
                f"got {text!r}"
            )
        layers += range(first, last + 1)
    return sorted(set(layers))


@torch.no_grad()
def attention_map(pipeline: Any, text: str, schema: Schema, layers: str = "all") -> AttentionMap:
    """
    Reads a text twice and takes the attention weights from the second copy to the first.

    Args:
        pipeline (`JPTPipeline`): Its model reads packed rows, as it does by default: other backends keep no weights.
        text (`str`): One text, short enough for a heat map.
        schema (`Schema`): The types of the prompt.
        layers (`str`): As for [`parse_layers`].

    Raises:
        ValueError: If the model does not read texts twice or keeps no weights, or the text has no tokens or too many.
    """
    model, config = getattr(pipeline, "jpt", None), pipeline.model.config
    if model is None or READING not in config.readings:
        raise ValueError("`pipeline`: attention between two copies needs a JPT model that reads texts twice")
    if not is_packed(model.model.config):
        raise ValueError(
            '`pipeline`: load the model with `attn_implementation="jpt_packed"`, the default, which keeps attention weights'
        )
    chosen = parse_layers(layers, model.model.config.num_hidden_layers)
    prompt = torch.tensor(
        build_prompt(pipeline.tokenizer, schema.names, schema.descriptions, PromptStyle.of(config)).input_ids
    )
    encoded = encode_texts(pipeline.tokenizer, [text])[0]
    n, limit = len(encoded.input_ids), min(MAX_TOKENS, model.window(len(prompt), READING)[0])
    if not 1 <= n <= limit:
        raise ValueError(f"`text` must have 1 to {limit} tokens for a heat map, got {n}")
    copies = lay_out(torch.from_numpy(encoded.input_ids), torch.tensor(config.separator_ids), READING)
    row = torch.cat([prompt, copies]).to(model.device)
    segments = [Segment(0, len(prompt)), Segment(len(prompt), len(row), prompt=0, read=n)]
    layout = PackedLayout(segments, keep_weights=True)
    model.read_row(layout, row, torch.arange(len(row), device=model.device))
    first = slice(len(prompt), len(prompt) + n)
    kept = [layout.weights[layer][0][:, first].cpu().numpy() for layer in chosen]
    return AttentionMap(text, encoded.offsets, chosen, np.mean(kept, axis=0))


def check_output(path: Path) -> None:
    """
    Raises:
        ImportError: If a picture is wanted and matplotlib is missing.
        ValueError: If the suffix is not in `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--output should name a file in {', '.join(SUFFIXES)}, got {str(path)!r}")
    if path.suffix.lower() != ".json":
        check_installed("matplotlib", "a heat map")


def write_attention(found: AttentionMap, path: Path) -> None:
    """Writes the map as a picture or as JSON, by the suffix of the file."""
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    with atomic_file(path) as temporary:
        if suffix == ".json":
            temporary.write_text(json.dumps(to_dict(found), ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            _draw(found).savefig(temporary, format=suffix[1:], dpi=150)


def to_dict(found: AttentionMap) -> dict[str, Any]:
    """The map for JSON: rows are tokens of the second copy, columns those of the first."""
    return {
        "text": found.text,
        "tokens": found.tokens,
        "offsets": found.offsets.tolist(),
        "layers": found.layers,
        "weights": [[float(f"{weight:.6g}") for weight in row] for row in found.weights.tolist()],
    }


def _draw(found: AttentionMap):
    figure_module = import_optional("matplotlib.figure", "a heat map")
    names = [_label(token) for token in found.tokens]
    side = 2.2 + 0.24 * len(names)
    figure = figure_module.Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(found.weights, cmap="viridis", vmin=0)
    for set_ticks, rotation in ((axes.set_xticks, 90), (axes.set_yticks, 0)):
        set_ticks(range(len(names)), names, rotation=rotation, fontsize=8)
    axes.set(xlabel="first copy", ylabel="second copy", title=_layers_title(found.layers))
    figure.colorbar(image, shrink=0.8, label="attention, mean over heads")
    return figure


def _layers_title(layers: Sequence[int]) -> str:
    if len(layers) == 1:
        return f"layer {layers[0]}"
    gapless = layers[-1] - layers[0] == len(layers) - 1
    return f"layers {layers[0]} to {layers[-1]}" if gapless else f"layers {', '.join(map(str, layers))}"


def _label(token: str) -> str:
    """A token as an axis label: with visible blanks, and without what matplotlib would take for a formula."""
    return (token.strip() or "␣").replace("$", r"\$")
