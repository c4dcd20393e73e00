"""Errors of the page, whose messages are sentences for its users."""

import re


class PageError(ValueError):
    """A request that cannot be answered. The message is a sentence for users, without paths or code of the server."""


class TypesError(PageError):
    """The entity types cannot be used; shown beside the table."""


class TextError(PageError):
    """The text cannot be read; shown beside the text."""


class FileError(PageError):
    """The file cannot be used; shown beside it."""


class ModelError(PageError):
    """The model could not be loaded."""


class TimeLimitError(PageError):
    """The request took longer than the page allows."""


class ClientGoneError(PageError):
    """Nobody waits for the answer any more."""


def sentence(error: Exception | str) -> str:
    """An error message of the library as a sentence for users of the page."""
    text = re.sub(r"^`?entity_types`?: (the )?", "", str(error)).strip()
    text = re.sub(r"^item (\d+)", r"type \1", text)
    text = {"entity_types is empty; give at least one type": "there are no types yet; add one"}.get(text, text)
    return (text[:1].upper() + text[1:]).rstrip(".") + "."
