"""`jpt-ner bench`: measures systems side by side, and how close JPT comes to the machine's peak.

Sections, each a function from a `Bench` to a dict for the report: `compare` (all systems), `definitions` (what long
definitions cost), `curves` (text length, types, definitions, batch size), `precision` (number formats, speed and F1),
`profile` (where the time goes), `full` (a large backbone with random weights under the load of the paper's Table 3).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from .bench import FULL_TEXTS, GENERATED_TEXTS, Bench, describe
from .building import BACKBONE_SHAPES, SYSTEM_NAMES
from .full import full
from .sections import compare_systems, curves, definitions, precision, profile
from .speed_report import write

SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "compare": compare_systems,
    "definitions": definitions,
    "curves": curves,
    "precision": precision,
    "profile": profile,
    "full": full,
}


def measure(
    model: str,
    output: str | Path,
    *,
    sections: Sequence[str] | None = None,
    systems: Sequence[str] | None = None,
    full_texts: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    **options,
) -> list[Path]:
    """
    Measures and writes the report. Sections of an existing report of that name that are not measured now are kept.

    Args:
        model (`str`): Folder or Hub id of a JPT model.
        output (`str` or `Path`): Name of the report, without suffix.
        sections (`Sequence[str]`, *optional*): From `SECTIONS`. All by default.
        systems, full_texts, options (*optional*): Values of [`Bench`].
        threads (`int`, *optional*): Number of PyTorch's threads.

    Returns:
        The written files.

    Raises:
        ValueError: If a value is not as described.
    """
    sections = list(SECTIONS) if sections is None else sections
    for kind, given, known in (("section", sections, SECTIONS), ("system", systems or (), SYSTEM_NAMES)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"unknown {kind} {unknown[0]!r}; there are: {', '.join(known)}")
    if options.get("shape", "tiny") not in BACKBONE_SHAPES:
        raise ValueError(f"`backbone_shape` must be one of {', '.join(BACKBONE_SHAPES)}, got {options['shape']!r}")
    price = options.get("price_per_hour")
    if price is not None and not 0 < price < float("inf"):
        raise ValueError(f"`price_per_hour` must be a number above 0, got {price!r}")
    if threads is not None:
        torch.set_num_threads(threads)
    logging.disable_progress_bar()
    bench = Bench(
        model,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        systems=systems or SYSTEM_NAMES,
        full_texts=full_texts or FULL_TEXTS,
        generated_texts=min(full_texts or FULL_TEXTS, GENERATED_TEXTS),
        **options,
    )
    machine = describe(bench)
    files: list[Path] = []
    for name in sections:  # written one by one, so that no measurement is lost
        files += write({"machine": machine, name: SECTIONS[name](bench)}, output)
    return list(dict.fromkeys(files))
