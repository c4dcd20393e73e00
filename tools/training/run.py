"""Training from a recipe: a recipe in, a trained-parts checkpoint out, through `transformers.Trainer`.

The Trainer is used without a subclass: the model computes its loss, the collator builds batches, and the dataset is a
plan fixed by the seed, so that a stopped run resumes exactly where it was.
"""

import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, get_scheduler, set_seed

from ...atomic_jpt import MODEL_FILES, atomic_folder
from ...backbone_jpt import resolve_backbone
from ...configuration_jpt import JPTConfig
from ...definitions_jpt import build_definition_encoder
from ...inputs_jpt import separator_ids
from ...modeling_jpt import JPTForTokenClassification
from ...schema_jpt import resolve_schema
from ..data.records import Record
from .development import CurvesCallback, DevelopmentScorer, discard_logits, load_development_sets
from .generative import train_generative
from .preflight import check_data, check_disk, full_disk_named
from .preparation import has_bfloat16, load_sources, make_arguments, prepare_backbone, rows_of, set_max_steps, tell
from .recipe import AUTO, DataSource, Recipe, load_recipe
from .resuming import FollowFolder, check_resumable, find_start
from .sampling import GroupCollator, MixtureSource, Sampling, TrainingGroups

# Number of texts of the development sets for the evaluation loss.
LOSS_TEXTS = 24
# A recipe's `entity_types`: the types of its data.
DATA_TYPES = "data"


def build_model(recipe: Recipe):
    """
    The recipe's model and tokenizer, ready for training.

    Raises:
        ValueError: If `checkpoint` is no JPT model with adapters to train on.
    """
    whole = recipe.training.get("bf16") == AUTO and not has_bfloat16()
    options = {"dtype": torch.float32 if whole else torch.bfloat16, **recipe.load_options}
    if recipe.checkpoint:
        _check_model_type(recipe.checkpoint)
        tokenizer = AutoTokenizer.from_pretrained(recipe.checkpoint, trust_remote_code=True)
        model = JPTForTokenClassification.from_pretrained(recipe.checkpoint, is_trainable=True, **options)
        grown = dict(recipe.grow)
        model.config.readings = grown.pop("readings", model.config.readings)
        model.grow(**grown)
    else:
        tokenizer = AutoTokenizer.from_pretrained(resolve_backbone(recipe.backbone))
        model = JPTForTokenClassification.from_backbone(
            recipe.backbone, separator_ids=separator_ids(tokenizer), load_options=options, **recipe.model
        )
    if recipe.entity_types not in (None, DATA_TYPES):
        schema = resolve_schema(recipe.entity_types)
        model.config.entity_types = dict(zip(schema.names, schema.descriptions, strict=True))
    return model, tokenizer


def _check_model_type(checkpoint: str) -> None:
    config = Path(checkpoint) / "config.json"
    if Path(checkpoint).is_dir() and not config.is_file():
        raise ValueError(f"checkpoint: {checkpoint} holds no config.json")
    if config.is_file():
        kind = json.loads(config.read_bytes()).get("model_type")
        if kind != "jpt":
            raise ValueError(
                f"checkpoint: {checkpoint} is a model of type {kind!r}, not a JPT model; to train one around it, name it "
                "as `backbone`"
            )


def make_optimizer(model: JPTForTokenClassification, recipe: Recipe, arguments: TrainingArguments):
    """
    AdamW with one learning rate for the adapters and one for the head, and the scheduler of the arguments.

    Raises:
        ValueError: If the arguments have another optimizer or `optim_args`, or the scheduler does not take its values.
    """
    optim = arguments.optim.value
    if optim not in ("adamw_torch", "adamw_torch_fused"):
        raise ValueError(f"training: optim: expected adamw_torch, the only optimizer for JPT, got {optim!r}")
    if arguments.optim_args:
        raise ValueError(
            "training: optim_args: not supported; adam_beta1, adam_beta2, adam_epsilon and weight_decay are"
        )
    head = [parameter for parameter in model.head.parameters() if parameter.requires_grad]
    lora = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
    groups = [{"params": head, "lr": recipe.head_learning_rate or arguments.learning_rate}]
    if lora:
        groups.append({"params": lora, "lr": arguments.learning_rate})
    optimizer = torch.optim.AdamW(
        groups,
        betas=(arguments.adam_beta1, arguments.adam_beta2),
        eps=arguments.adam_epsilon,
        weight_decay=arguments.weight_decay,
    )
    try:
        scheduler = get_scheduler(
            arguments.lr_scheduler_type,
            optimizer,
            num_warmup_steps=arguments.get_warmup_steps(arguments.max_steps),
            num_training_steps=arguments.max_steps,
            scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
        )
    except TypeError as error:
        raise ValueError(f"training: lr_scheduler_kwargs: {error}") from None
    return optimizer, scheduler


def train(recipe: Recipe, callbacks: list[TrainerCallback] | None = None) -> Path:
    """
    Runs a recipe, resuming from its last whole checkpoint. Everything that can be checked is checked before training.

    Returns:
        `Path`: Folder of the trained model.

    Raises:
        ValueError: If data, model and recipe do not fit together; the message names what is wrong.
        OSError: If a file is missing, or the disk has no room for the run's checkpoints.
    """
    if recipe.system != "jpt":
        return train_generative(recipe, callbacks)
    arguments = make_arguments(recipe)
    set_seed(arguments.seed)
    sources = load_sources(recipe)
    set_max_steps(arguments, recipe, sources)
    development = load_development_sets(recipe)
    checkpoint = find_start(recipe, arguments, sources)
    if checkpoint is not None:
        arguments.eval_on_start = False  # The resumed log already has it.
    model, tokenizer = build_model(recipe)
    if recipe.entity_types == DATA_TYPES:
        model.config.entity_types = _types_of(sources)
    if arguments.process_index == 0:
        check_disk(model, arguments)
        for line in check_data(sources, tokenizer, model, recipe.sampling):
            tell(line)
    if checkpoint is not None:
        check_resumable(model, checkpoint)
    prepare_backbone(model.model, recipe, arguments)
    groups = TrainingGroups(sources, rows_of(arguments), tokenizer, model.config, recipe.sampling, recipe.in_epochs)
    encoder = None
    if model.config.type_embedding != "prompt":
        encoder = build_definition_encoder(model.config.definition_encoder, backbone=model.model, tokenizer=tokenizer)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=groups,
        data_collator=GroupCollator(encoder),
        processing_class=tokenizer,
        optimizers=make_optimizer(model, recipe, arguments),
        callbacks=[FollowFolder(), CurvesCallback(), *(callbacks or [])],
        **_scoring(recipe, development, model, tokenizer, encoder, arguments),
    )
    final = Path(recipe.output_dir) / "final"
    with full_disk_named(model, arguments):
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        if trainer.is_world_process_zero():
            save_trained_parts(model, tokenizer, final, recipe.save_dtype)
    return final


def _types_of(sources: list[MixtureSource]) -> dict[str, str]:
    own = [source for source in sources if not source.replayed]
    candidates = (info for source in own for types in source.candidates.values() for info in types.values())
    return {info.name: info.definition for info in candidates}


def _scoring(recipe: Recipe, development: dict[str, list[Record]], model, tokenizer, encoder, arguments) -> dict:
    """The Trainer's arguments for scoring on the development sets; empty without any."""
    if not development:
        return {}

    def make_pipeline():
        if encoder is not None and encoder.name == "backbone":
            encoder.clear()  # The adapters have changed since the last evaluation.
        return model.as_pipeline(tokenizer, definition_encoder=encoder, device=model.device)

    watched = [name for name, entry in zip(development, recipe.evaluation.data, strict=True) if entry.watch_only]
    return {
        "eval_dataset": _development_groups(development, tokenizer, model.config),
        "compute_metrics": DevelopmentScorer(development, watched, make_pipeline, arguments),
        "preprocess_logits_for_metrics": discard_logits,
    }


def _development_groups(development: dict[str, list[Record]], tokenizer, config: JPTConfig) -> TrainingGroups:
    """Single texts of the development sets with all their types as worded: the same at every evaluation."""
    sources = [MixtureSource(name, records, None, 1.0) for name, records in development.items()]
    length = min(LOSS_TEXTS, sum(map(len, development.values())))
    return TrainingGroups(sources, length, tokenizer, config, PLAIN_SAMPLING)


PLAIN_SAMPLING = Sampling(
    max_group_texts=1,
    min_types=100,
    max_types=100,
    **dict.fromkeys(
        ("name_only", "shortened", "generic", "renamed", "anonymous", "coarsened", "lowercase", "spaced"), 0.0
    ),
)


def save_trained_parts(model: JPTForTokenClassification, tokenizer, folder: Path, dtype: str) -> None:
    """
    Saves a checkpoint for use: adapters and head in `dtype`, without the Trainer's own files. The folder appears, or
    replaces the model in one of that name, once everything is written. Other files in the folder stay.
    """
    left_out = set(model._keys_to_ignore_on_save or ())
    weights = {
        name: tensor.to(getattr(torch, dtype)) for name, tensor in model.state_dict().items() if name not in left_out
    }
    with atomic_folder(folder, replaced=MODEL_FILES) as whole:
        model.save_pretrained(whole, state_dict=weights)
        tokenizer.save_pretrained(whole)


__all__ = [
    "DataSource",
    "Recipe",
    "build_model",
    "load_recipe",
    "load_sources",
    "make_arguments",
    "make_optimizer",
    "train",
]
