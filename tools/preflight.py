"""What is checked before hours are spent: labels, lengths, disk space, and that a stopped run can go on.

Data sources, a tokenizer and a model in; a report or an error out. Changes nothing.
"""

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerBase, TrainingArguments

from ..inputs_jpt import build_prompt, encode_texts
from ..modeling_jpt import JPTForTokenClassification
from ..spans_jpt import label_tokens
from ..words_jpt import trim_blanks
from .records import Record, TypeInfo
from .sampling import Sampling, Source

# float32 weights, and the two moments that Adam keeps of each.
BYTES_PER_TRAINED = 3 * 4
TOKENIZED_AT_ONCE = 1024


@dataclass
class Representation:
    """
    How much of the gold labels the tokens of the texts can carry.

    Args:
        mentions (`int`): Gold mentions.
        lost (`int`): Those that labels of tokens do not give back exactly.
        touching (`int`): Of these, those with nothing but blanks between them and another of their type; all their
            tokens are labelled. The rest share a token with another mention, or have an edge within a token.
        longest_text (`int`): Tokens of the longest text.
    """

    mentions: int = 0
    lost: int = 0
    touching: int = 0
    longest_text: int = 0


def measure_representation(records: Iterable[Record], tokenizer: PreTrainedTokenizerBase) -> Representation:
    """Sends every mention through spans → labels → spans, and counts those that do not come back."""
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
            # What begins or ends with a character that cannot be seen comes back without it.
            seen = set(range(len(spans))) - {*labelled.unrepresentable}
            result.lost += sum(trim_blanks(record.text, *spans[i][:2]) != spans[i][:2] for i in seen)
            result.touching += len(labelled.merged)
    return result


def check_data(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase, model: JPTForTokenClassification, sampling: Sampling
) -> list[str]:
    """
    Returns:
        `list[str]`: One line for each source of which something is lost, and one of all together.

    Raises:
        ValueError: If a group of some source would not fit into the longest sequence.
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
    """Whether the longest prompt that may be drawn leaves room for the longest text, both as long as they can get."""
    names, descriptions = _longest_types(source, tokenizer, sampling)
    prompt = len(build_prompt(tokenizer, names, descriptions, model.config.prompt_template).input_ids)
    text = min(longest_text, sampling.max_text_tokens)
    taken = prompt + (text if model.config.single_pass else 2 * text + len(model.config.separator_ids))
    limit = min(model.config.max_length, getattr(model.model.config, "max_position_embeddings", taken))
    if taken > limit:
        raise ValueError(
            f"{source.name}: a prompt of {len(names)} types may take {prompt} tokens and with a text of {text}, read "
            f"twice, {taken}: {taken - limit} over the limit of {limit}. Lower `sampling.max_types` "
            f"({sampling.max_types}) or `sampling.max_text_tokens` ({sampling.max_text_tokens}), or shorten "
            "definitions, such as those of " + ", ".join(repr(name) for name in names[:3])
        )


def _longest_types(source: Source, tokenizer, sampling: Sampling) -> tuple[list[str], list[str]]:
    """Names and definitions of the types that make the source's longest prompt, the longest first."""
    worded = {}
    for asked in source.asked.values():
        for info in asked.values():
            worded.setdefault((info.name, info.definition), _longest_wording(info))
    texts = [f"{name} {description}" for name, description in worded.values()]
    lengths = dict(zip(worded, (len(each.input_ids) for each in encode_texts(tokenizer, texts)), strict=True))
    longest: list[tuple[str, str]] = []
    seen: set[tuple] = set()
    for asked in source.asked.values():
        keys = tuple((info.name, info.definition) for info in asked.values())
        if keys not in seen:
            seen.add(keys)
            chosen = sorted(keys, key=lengths.__getitem__, reverse=True)[: sampling.max_types]
            longest = max(longest, chosen, key=lambda types: sum(map(lengths.__getitem__, types)))
    names, descriptions = zip(*(worded[key] for key in longest))
    return list(names), list(descriptions)


def _longest_wording(info: TypeInfo) -> tuple[str, str]:
    # Capitals and underscores make more tokens than any other style of names.
    return info.name.replace(" ", "_").upper(), max(info.definition, info.generic or "", key=len)


def check_disk(model: JPTForTokenClassification, arguments: TrainingArguments) -> None:
    """
    Raises:
        OSError: If the run's checkpoints will not fit on the disk of `output_dir`.
    """
    folder = Path(arguments.output_dir)
    if arguments.save_strategy == "no":
        count = 0
    elif arguments.save_total_limit:
        count = arguments.save_total_limit + 1  # The new one is there before the oldest goes.
    else:
        count = int(arguments.max_steps / arguments.save_steps) + 1 if arguments.save_steps >= 1 else 1
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    expected = max(0, count - len(list(folder.glob("checkpoint-*")))) * trained * BYTES_PER_TRAINED
    expected += trained * 4  # the final model
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    if expected > free:
        raise OSError(
            f"output_dir: the run's checkpoints take about {expected / 1e9:.1f} GB and {existing} has "
            f"{free / 1e9:.1f} GB free; lower `training.save_total_limit` or choose another folder"
        )


def last_whole_checkpoint(folder: str | Path) -> Path | None:
    """
    The newest checkpoint of a run that was written to its end. The Trainer writes its state last; where that is there
    but something else was cut off, as by a full disk or a power cut, the checkpoint before it is taken.
    """
    found = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    found.sort(key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next(filter(_is_whole, found), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_bytes())
        weights = next(checkpoint.glob("adapter_model.safetensors"), checkpoint / "model.safetensors")
        with safe_open(weights, "pt"):
            pass  # It compares the file's size with what its header says.
        for path in [checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *checkpoint.glob("rng_state*.pth")]:
            with zipfile.ZipFile(path) as file:
                if file.testzip() is not None:
                    return False
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile):
        return False
    return True


def check_resumable(model: JPTForTokenClassification, checkpoint: Path) -> None:
    """
    Raises:
        ValueError: If the checkpoint is of a model with other trained parts, which the Trainer might not notice.
    """
    left_out = set(model._keys_to_ignore_on_save or ())
    own = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if name not in left_out}
    with safe_open(checkpoint / "model.safetensors", "pt") as file:
        saved = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    wrong = sorted(own.keys() ^ saved.keys()) or sorted(name for name in own if own[name] != saved[name])
    if wrong:
        raise ValueError(
            f"output_dir: {checkpoint} is of a model with another architecture: it differs in {wrong[0]!r}. Go on with "
            "the recipe it was made with, or choose another `output_dir`"
        )
