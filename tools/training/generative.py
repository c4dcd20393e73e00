"""Training of the generative systems from a recipe: a causal LM, with LoRA or in full, on the same data as JPT.

The same groups of texts and labels as in JPT's training (`sampling`) become next-token examples
(`jpt_ner.generative.examples`) for an unmodified `transformers.Trainer`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, set_seed

from ...atomic_jpt import MODEL_FILES, atomic_folder
from ...backbone_jpt import resolve_backbone
from ...configuration_jpt import JPTConfig
from ...generative.configuration_generative import CONFIG_KEY, GenerativeConfig
from ...generative.examples import ExampleOptions, PackedRow, RowCollator, build_examples, pack
from ...generative.formats import check_label
from ...inputs_jpt import encode_texts
from ...schema_jpt import resolve_schema
from ..data.records import Entity
from .preflight import check_disk, full_disk_named
from .preparation import load_sources, make_arguments, prepare_backbone, rows_of, set_max_steps
from .recipe import Recipe
from .resuming import find_start
from .sampling import MixtureSource, Sampling, TrainingGroups


class GenerativeRows(TrainingGroups):
    """
    The groups of JPT's training as packed rows of next-token examples. Labels that the system cannot write are left out;
    without definitions, names are never replaced by numbers.

    Args:
        system (`str`): One of `formats.GENERATIVE_SYSTEMS`.
        options (`ExampleOptions`): How examples are written.
        sources, length, tokenizer, sampling, in_epochs: As for `TrainingGroups`.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
        length: int,
        tokenizer,
        system: str,
        sampling: Sampling,
        options: ExampleOptions,
        in_epochs: bool = False,
    ):
        if not options.definitions:
            sampling = replace(sampling, anonymous=0.0)
        super().__init__(sources, length, tokenizer, JPTConfig(), sampling, in_epochs)
        self.system = system
        self.options = options

    def __getitem__(self, index: int) -> PackedRow:
        group = self.draw(index)
        names = dict(zip(group.labels, group.names, strict=True))
        definitions = {
            name: description
            for name, description in zip(group.names, group.descriptions, strict=True)
            if self._can_write(name)
        }
        examples = []
        for text, entities in group.texts if definitions else ():
            text, entities = self._cut(text, entities)
            entities = [replace(each, label=names[each.label]) for each in entities]
            examples += build_examples(self.tokenizer, self.system, text, entities, definitions, self.options)
        return pack(examples)

    def _can_write(self, name: str) -> bool:
        try:
            check_label(name, self.system, self.options.language)
        except ValueError:
            return False
        return True

    def _cut(self, text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
        """At most `max_text_tokens` of a text, not cut within a mention."""
        offsets = encode_texts(self.tokenizer, [text])[0].offsets
        if len(offsets) <= self.sampling.max_text_tokens:
            return text, entities
        end = int(offsets[self.sampling.max_text_tokens - 1, 1])
        end = min([each.start for each in entities if each.start < end < each.end], default=end)
        return text[:end].rstrip(), [each for each in entities if each.end <= end]


def build_generative_model(recipe: Recipe):
    """
    The recipe's backbone and its tokenizer, ready for training: with adapters, or in full with `lora_rank` 0.

    Raises:
        ValueError: If the backbone has no language-modelling head.
    """
    values = JPTConfig(**recipe.model)
    source = resolve_backbone(recipe.backbone)
    tokenizer = AutoTokenizer.from_pretrained(source)
    # Frozen weights may be bfloat16; it would lose updates as small as those of a learning rate of 1e-5.
    dtype = torch.bfloat16 if values.lora_rank else torch.float32
    backbone, loading = AutoModelForCausalLM.from_pretrained(
        source, output_loading_info=True, **{"dtype": dtype, **recipe.load_options}
    )
    if loading["missing_keys"]:
        raise ValueError(
            f"backbone: {recipe.backbone!r} lacks the weights {', '.join(sorted(loading['missing_keys'])[:3])}; a "
            "generative system needs a causal LM with its language-modelling head"
        )
    if not values.lora_rank:
        return backbone, tokenizer
    adapters = LoraConfig(
        r=values.lora_rank,
        lora_alpha=values.lora_alpha,
        lora_dropout=values.lora_dropout,
        target_modules=list(values.lora_target_modules),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(backbone, adapters), tokenizer


def train_generative(recipe: Recipe, callbacks: list[TrainerCallback] | None = None) -> Path:
    """
    Runs the recipe of a generative system, resuming from its last whole checkpoint.

    Only the values of `recipe.model` that concern adapters are used: there is no head.

    Returns:
        `Path`: Folder of the adapters, or of the whole model, with the settings of the system in `config.json`.

    Raises:
        ValueError: If the recipe has values that a generative system does not take, its data is not usable, or the
            folder holds another run.
        OSError: If the disk has no room for the run's checkpoints.
    """
    if not recipe.backbone:
        raise ValueError("`backbone` must be given: a generative system is trained from a causal LM")
    if recipe.evaluation.data:
        raise ValueError("`evaluation` is for JPT; score a generative system after training, with `jpt-ner evaluate`")
    options = recipe.generative
    settings = GenerativeConfig(system=recipe.system, language=options.language, definitions=options.definitions)
    if recipe.entity_types is not None:
        schema = resolve_schema(recipe.entity_types)
        settings = replace(settings, entity_types=dict(zip(schema.names, schema.descriptions, strict=True)))
    arguments = make_arguments(recipe)
    set_seed(arguments.seed)
    sources = load_sources(recipe)
    set_max_steps(arguments, recipe, sources)
    checkpoint = find_start(recipe, arguments, sources)
    model, tokenizer = build_generative_model(recipe)
    check_disk(model, arguments)
    prepare_backbone(model, recipe, arguments)
    rows = GenerativeRows(
        sources, rows_of(arguments), tokenizer, recipe.system, recipe.sampling, options, in_epochs=recipe.in_epochs
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=RowCollator(model.config._attn_implementation),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    final = Path(recipe.output_dir) / "final"
    with full_disk_named(model, arguments):
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        if trainer.is_world_process_zero():
            save_trained(model, tokenizer, settings, final, recipe)
    return final


def save_trained(model, tokenizer, settings: GenerativeConfig, folder: Path, recipe: Recipe) -> None:
    """
    Saves adapters or whole model, tokenizer, and the backbone's configuration with the settings of the system. The folder
    appears, or replaces the model in one of that name, once everything is written. Other files in the folder stay.
    """
    options = {}
    config = model.config
    if isinstance(model, PeftModel):
        # The name in the recipe, not the folder where it was found.
        model.peft_config["default"].base_model_name_or_path = recipe.backbone
        config = model.get_base_model().config
        options["save_embedding_layers"] = False
    setattr(config, CONFIG_KEY, settings.to_dict())
    with atomic_folder(folder, replaced=MODEL_FILES) as whole:
        model.to(getattr(torch, recipe.save_dtype)).save_pretrained(whole, **options)
        config.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
        if (folder / "README.md").exists():
            (whole / "README.md").unlink(missing_ok=True)  # the blank card of peft
