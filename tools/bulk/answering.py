"""Documents in, the entities of each out, or why it has none: a text that cannot be read does not affect the others."""

from collections.abc import Iterable, Sequence

import torch

from ..files.formats.writing import Entities
from ..files.model import BadRow, Document
from ..files.tagging import Tagger

FAILURES = (ValueError, MemoryError, torch.OutOfMemoryError)
BATCHES_AT_ONCE = 8  # as many as the pipeline reads ahead


def check_types(tagger: Tagger, documents: Iterable[Document]) -> None:
    """
    Reads a single word with the types that all documents share, so that problems with them show before a job begins.

    Args:
        documents (`Iterable[Document]`): The first ones of the job, which may have types of their own.

    Raises:
        ValueError: If the model cannot look for them, or there are none.
    """
    if tagger.has_types:
        list(tagger(iter([Document(1, {}, "Word")])))
    elif all(each.entity_types is None for each in documents):
        raise ValueError("say what to look for with --types; this model has no types of its own")


def answers(tagger: Tagger, documents: Sequence[Document]) -> list[Entities | BadRow]:
    """
    The entities of each document; a `BadRow` for one that the pipeline refuses, or that does not fit into memory.

    If a batch fails, its halves are tried in turn, so that few of the other documents are read again.
    """
    if not documents:
        return []
    try:
        return [entities for _, entities in tagger(iter(documents))]
    except FAILURES as error:
        if len(documents) == 1:
            return [BadRow(documents[0].line, _reason(error))]
    half = len(documents) // 2
    return answers(tagger, documents[:half]) + answers(tagger, documents[half:])


def _reason(error: BaseException) -> str:
    message = str(error).removeprefix("`inputs[0]`: ").removeprefix("`inputs[0]` ")
    return message if isinstance(error, ValueError) else f"it does not fit into memory ({type(error).__name__})"
