"""The model card of a model that is pushed to the Hub: its configuration in, a README.md out.

If there is no card, pushing creates a template with blanks. Here it is replaced by what the configuration knows; a card
that someone has written is left alone.
"""

import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from .configuration_jpt import JPTConfig

BLANK = "[More Information Needed]"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
INSTALL = "pip install transformers torch sentence-transformers"


def fill_card(path: Path, config: JPTConfig, repository: str) -> None:
    """
    Replaces a blank template with a card that describes the model; keeps its tags.

    Args:
        path (`Path`): The card.
        repository (`str`): Hub id of the model.
    """
    found = ModelCard.load(path)
    if BLANK not in found.text:
        return
    tags = dict.fromkeys(["named-entity-recognition", "zero-shot", "custom_code", *(found.data.tags or [])])
    trained_from = config.name_or_path if HUB_ID.fullmatch(config.name_or_path or "") else None
    base = trained_from or config.backbone_name_or_path
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="token-classification",
        base_model=base,
        tags=list(tags),
    )
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_text(config, repository, base)}").save(path)


def _text(config: JPTConfig, repository: str, base: str | None) -> str:
    types = config.entity_types or {}
    name = repository.rpartition("/")[2]
    lines = [
        f"# {name}",
        "",
        "A model for named entity recognition by definitions: describe entity types in words, and it finds their "
        "mentions, with their characters and scores. It is made with Just Pass Twice "
        "([JPT](https://arxiv.org/abs/2604.05158)): a causal language model reads a text twice, and the second copy's "
        "tokens are compared with the definitions.",
        "",
        "## Use",
        "",
        f"```bash\n{INSTALL}\n```",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        f'ner = pipeline("jpt-ner", model="{repository}", trust_remote_code=True)',
        'ner("Marta Kovac moved from Siemens to a startup in Lisbon.")'
        if types
        else 'ner("Marta Kovac moved to Lisbon.", entity_types={"city": "A named city or town; not a country."})',
        "```",
        "",
    ]
    if types:
        lines += ["## Types", "", "Looked for where a call names no other `entity_types`:", ""]
        lines += ["| type | definition |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(definition)} |" for name, definition in types.items()]
        lines += [""]
    lines += ["## Made of", ""]
    if base:
        lines += [f"- Trained from: [{base}](https://huggingface.co/{base})"]
    if config.backbone_name_or_path and config.backbone_name_or_path != base:
        lines += [f"- Backbone: {config.backbone_name_or_path}"]
    if config.type_embedding != "prompt":
        lines += [f"- Definition encoder: {config.definition_encoder}"]
    form = "the whole model" if config.self_contained else "adapters and heads; the backbone is loaded beside them"
    lines += [f"- Weights: {form}", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
