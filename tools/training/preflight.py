"""Checks before a long run: labels, lengths and disk space.

Data sources, a tokenizer and a model in; a report or an error out. Changes nothing.
"""

import errno
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedTokenizerBase, TrainingArguments

from ...inputs_jpt import PromptStyle, build_prompt, encode_texts
from ...labels_jpt import label_tokens
from ...modeling_jpt import JPTForTokenClassification
from ...words_jpt import trim_blanks
from ..data.records import Record, TypeInfo
from .augmentation import families, longest_merged_type
from .sampling import MixtureSource, Sampling

# float32 weights, and the two moments that Adam keeps for each.
BYTES_PER_TRAINED = 3 * 4
TOKENIZED_AT_ONCE = 1024


@dataclass
class Representation:
    """
    How many of the gold mentions token labels can represent.

    Args:
        mentions (`int`): Gold mentions.
        lost (`int`): Those that do not come back exactly from labels of tokens.
        touching (`int`): Of these, those separated from another of their type by blanks alone; all their tokens are
            labelled. The rest share a token with another mention, or have a boundary inside a token.
        longest_text (`int`): Tokens of the longest text.
    """

    mentions: int = 0
    lost: int = 0
    touching: int = 0
    longest_text: int = 0


def measure_representation(records: Iterable[Record], tokenizer: PreTrainedTokenizerBase) -> Representation:
    """Sends every mention through spans → labels → spans, and counts those that come back changed."""
    result = Representation()
    records = list(records)
    for start in range(0, len(records), TOKENIZED_AT_ONCE):
        batch = records[start : start + TOKENIZED_AT_ONCE]
        for record, encoded in zip(batch, encode_texts(tokenizer, [each.text for each in batch]), strict=True):
            result.longest_text = max(result.longest_text, len(encoded.input_ids))
            result.mentions += len(record.entities)
            types = {label: i for i, label in enumerate(dict.fromkeys(each.label for each in record.entities))}
            spans = [(each.start, each.end, types[each.label]) for each in record.entities]
            if not spans:
                continue
            labelled = label_tokens(record.text, encoded.offsets, spans)
            result.lost += len(labelled.unrepresentable)
            # Invisible characters at the boundaries of a mention are lost.
            seen = set(range(len(spans))) - {*labelled.unrepresentable}
            result.lost += sum(trim_blanks(record.text, *spans[i][:2]) != spans[i][:2] for i in seen)
            result.touching += len(labelled.merged)
    return result


def check_data(
    sources: Sequence[MixtureSource],
    tokenizer: PreTrainedTokenizerBase,
    model: JPTForTokenClassification,
    sampling: Sampling,
) -> list[str]:
    """
    Returns:
        `list[str]`: One line for each source that loses mentions, and one for all sources.

    Raises:
        ValueError: If a group of a source might not fit into the longest sequence.
    """
    lines, total = [], Representation()
    for source in sources:
        measured = measure_representation(source.records, tokenizer)
        _check_longest(source, measured.longest_text, tokenizer, model, sampling)
        if measured.lost:
            lines.append(f"{source.name}: {_losses(measured)}")
        for field in ("mentions", "lost", "touching"):
            setattr(total, field, getattr(total, field) + getattr(measured, field))
    return [*lines, f"{len(sources)} data set(s): {_losses(total)}"]


def _losses(measured: Representation) -> str:
    text = f"{measured.lost} of {measured.mentions} mentions cannot be represented by the tokens"
    if measured.touching:
        text += f" ({measured.touching} touch another of their type)"
    return text


def _check_longest(source, longest_text: int, tokenizer, model, sampling: Sampling) -> None:
    """Checks that the longest prompt that may be drawn leaves room for the longest text."""
    if sampling.changes_lengths:
        longest_text = sampling.max_text_tokens  # The length of an augmented text is not known.
    names, descriptions = _longest_types(source, tokenizer, sampling)
    prompt = len(build_prompt(tokenizer, names, descriptions, PromptStyle.of(model.config)).input_ids)
    text = min(longest_text, sampling.max_text_tokens)
    taken, limit = prompt + model.text_cost(text), model.context_length
    if taken > limit:
        raise ValueError(
            f"{source.name}: a prompt of {len(names)} types may take {prompt} tokens and with a text of {text}, read "
            f"twice, {taken}: {taken - limit} over the limit of {limit}. Lower `sampling.max_types` "
            f"({sampling.max_types}) or `sampling.max_text_tokens` ({sampling.max_text_tokens}), or shorten "
            "definitions, such as those of " + ", ".join(repr(name) for name in names[:3])
        )


def _longest_types(source: MixtureSource, tokenizer, sampling: Sampling) -> tuple[list[str], list[str]]:
    """Names and definitions of the types that make the source's longest prompt, the longest first."""
    sets = {}
    for candidates in source.candidates.values():
        types = dict(candidates)
        for family, members in families(candidates).items() if source.families and sampling.coarsened else ():
            types[family] = longest_merged_type(family, [candidates[label].name for label in members])
        sets[tuple((info.name, info.definition) for info in types.values())] = types
    worded = {
        key: _longest_wording(info)
        for keys, types in sets.items()
        for key, info in zip(keys, types.values(), strict=True)
    }
    texts = [f"{name} {description}" for name, description in worded.values()]
    lengths = dict(zip(worded, (len(each.input_ids) for each in encode_texts(tokenizer, texts)), strict=True))
    longest: list[tuple[str, str]] = []
    for keys in sets:
        chosen = sorted(keys, key=lengths.__getitem__, reverse=True)[: sampling.max_types]
        longest = max(longest, chosen, key=lambda types: sum(map(lengths.__getitem__, types)))
    names, descriptions = zip(*(worded[key] for key in longest))
    return list(names), list(descriptions)


def _longest_wording(info: TypeInfo) -> tuple[str, str]:
    # Upper case with underscores takes more tokens than any other style of names.
    return info.name.replace(" ", "_").upper(), max(info.definition, info.generic or "", key=len)


def check_disk(model: nn.Module, arguments: TrainingArguments) -> None:
    """
    Raises:
        OSError: If the run's checkpoints will not fit on the disk of `output_dir`.
    """
    folder = Path(arguments.output_dir)
    if arguments.save_strategy == "no":
        count = 0
    elif arguments.save_total_limit:
        count = arguments.save_total_limit + 1  # The new one is written before the oldest is deleted.
    else:
        count = int(arguments.max_steps / arguments.save_steps) + 1 if arguments.save_steps >= 1 else 1
    expected = max(0, count - len(list(folder.glob("checkpoint-*")))) * _checkpoint_bytes(model)
    expected += _checkpoint_bytes(model) // 3  # The final model has no moments of Adam.
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    if expected > free:
        raise OSError(
            f"output_dir: the run's checkpoints take about {expected / 1e9:.1f} GB and {existing} has "
            f"{free / 1e9:.1f} GB free; lower `training.save_total_limit` or choose another folder"
        )


@contextmanager
def full_disk_named(model: nn.Module, arguments: TrainingArguments) -> Iterator[None]:
    """
    Says that the disk is full when a checkpoint could not be written, which PyTorch and safetensors do not say.

    Raises:
        OSError: In place of their errors, if there is less room than a checkpoint takes.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if shutil.disk_usage(arguments.output_dir).free > _checkpoint_bytes(model):
            raise
        reason = "no space left for a checkpoint; with more space the same command resumes from the last complete one"
        raise OSError(errno.ENOSPC, reason, arguments.output_dir) from error


def _checkpoint_bytes(model: nn.Module) -> int:
    return BYTES_PER_TRAINED * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
