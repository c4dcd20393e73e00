"""Limits of one request, and of the queue."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """
    Args:
        max_characters (`int`): Characters of one text.
        max_texts (`int`): Texts of one request.
        max_types (`int`): Types of one text.
        max_body (`int`): Bytes of a request's body.
        max_waiting (`int`): Texts that may wait for the model; further requests are answered with 503.
        timeout (`float`): Seconds until a request is answered with 504.

    Raises:
        ValueError: If one of them is not above 0.
    """

    max_characters: int = 50_000
    max_texts: int = 256
    max_types: int = 100
    max_body: int = 4 * 2**20
    max_waiting: int = 1024
    timeout: float = 60.0

    def __post_init__(self):
        for each in fields(self):
            if not getattr(self, each.name) > 0:
                raise ValueError(f"`{each.name}` must be above 0, got {getattr(self, each.name)!r}")
