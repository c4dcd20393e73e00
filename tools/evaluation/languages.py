"""Scores by language: predictions for several datasets in, one row per language out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.records import Record
from ..tables import markdown_table, percent
from .evaluate import score_predictions
from .reports import Section
from .runs import Run
from .scoring import Scores

UNKNOWN = "not stated"


@dataclass
class LanguageScores:
    """The scores of all texts of a language from any set, and the names of these sets."""

    scores: Scores
    datasets: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        return {"datasets": self.datasets, **self.scores.to_dict()}


def language_of(record: Record, dataset: str, given: Mapping[str, str] | None = None) -> str:
    """
    The language of a record, from the first of these that gives it: the record's `language`; `given`; the end of the name
    of the file or its folder (`uner_de`, `wikiann-en`); the part of the id after the folder's name (`xsid-de-7`).

    Args:
        record (`Record`): The record.
        dataset (`str`): `FOLDER/FILE`, as `evaluate.load_datasets` calls it.
        given (`Mapping[str, str]`, *optional*): Languages by `FOLDER/FILE`, or by `FOLDER` alone.

    Returns:
        `str`: Usually a code of two letters; `UNKNOWN` if nothing gives it.
    """
    if record.language:
        return record.language
    *folders, file = dataset.split("/")
    folder = folders[-1] if folders else ""
    for name in (dataset, folder):
        if given and name in given:
            return given[name]
    for name in (file, folder):
        if code := re.search(r"[-_.]([a-z]{2})$", name):
            return code[1]
    code = re.match(rf"{re.escape(folder)}[-_.]([a-z]{{2}})[-_.]", record.id) if folder else None
    return code[1] if code else UNKNOWN


def scores_by_language(run: Run, given: Mapping[str, str] | None = None) -> dict[str, LanguageScores]:
    """
    Scores of all texts of each language taken together, with bootstrap intervals, in the order of the codes.

    Args:
        run ([`Run`]): The predictions and their records.
        given (`Mapping[str, str]`, *optional*): As for [`language_of`].
    """
    pooled: dict[str, list[tuple[str, Record, list[dict]]]] = defaultdict(list)
    for dataset, records in run.datasets.items():
        for record, found in zip(records, run.predictions[dataset], strict=True):
            pooled[language_of(record, dataset, given)].append((dataset, record, found))
    result = {}
    for language in sorted(pooled, key=lambda each: (each == UNKNOWN, each)):
        datasets, records, predictions = map(list, zip(*pooled[language], strict=True))
        scores = score_predictions(records, predictions, interval=True)
        result[language] = LanguageScores(scores, list(dict.fromkeys(datasets)))
    return result


def check_languages(given: Iterable[str], datasets: Iterable[str]) -> None:
    """
    Checks that all folders and files that a language is given for exist.

    Raises:
        ValueError: Naming the first that does not.
    """
    datasets = list(datasets)
    known = {*datasets, *(name.rpartition("/")[0].rpartition("/")[2] for name in datasets)}
    if strange := [name for name in given if name not in known]:
        raise ValueError(f"--language names {strange[0]!r}, which is no folder or file of {', '.join(datasets)}")


def language_section(run: Run, given: Mapping[str, str] | None = None) -> Section:
    """[`scores_by_language`] as a section of a report."""
    languages = scores_by_language(run, given)
    data = {name: each.to_dict() for name, each in languages.items()}
    return Section("languages", data, "By language", language_table(languages))


def language_table(languages: Mapping[str, LanguageScores]) -> str:
    """One row per language, in percent: strict scores over all its texts, and where they are lost."""
    head = ["language", "texts", "mentions", "precision", "recall", "**F1**", "95 % interval"]
    head += ["detection F1", "typing", "boundaries", "sets"]
    rows = []
    for language, each in languages.items():
        strict, errors = each.scores.strict, each.scores.errors
        low, high = each.scores.interval or (0.0, 0.0)
        rates = [errors.detection.f1, errors.typing_accuracy, errors.boundary_accuracy]
        rows.append(
            [
                language,
                each.scores.texts,
                strict.gold,
                percent(strict.precision),
                percent(strict.recall),
                f"**{percent(strict.f1)}**",
                f"{percent(low)} to {percent(high)}",
                *map(percent, rates),
                ", ".join(each.datasets),
            ]
        )
    mean = sum(each.scores.strict.f1 for each in languages.values()) / len(languages)
    rows.append(["mean", *[""] * 4, f"**{percent(mean)}**", *[""] * 5])
    return markdown_table(head, rows)
