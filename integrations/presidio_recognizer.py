"""Presidio: a recognizer whose entities are defined in words, for its analyzer and anonymizer."""

from collections.abc import Mapping
from typing import Any

from presidio_analyzer import AnalysisExplanation, EntityRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from ..schema_jpt import resolve_schema
from ..tools.loading import load_pipeline

DEFAULT_TYPES = "personal-data"


class JPTRecognizer(EntityRecognizer):
    """
    Finds entities of any types for Presidio, which uses names such as `PHONE_NUMBER`.

    The model always looks for all types, and entities that a call did not request are dropped, so the prompt is read once.

    Args:
        entity_types (*optional*, defaults to `"personal-data"`): What `resolve_schema` takes.
        names (`Mapping[str, str]`, *optional*):
            Presidio's names, by the types' own names; two types may share one. By default the name in capitals, with
            underscores for blanks and hyphens: `phone number` is `PHONE_NUMBER`.
        threshold (`float`, *optional*): As for the pipeline.
        model (`str`, *optional*): Folder or Hub id. Defaults to the model that comes with this package.
        device (`str`, *optional*): Defaults to the best available.
        pipeline (`EntityPipeline`, *optional*): A loaded pipeline, instead of `model`.
        supported_language (`str`, *optional*, defaults to `"en"`): Language of the texts from Presidio.

    Raises:
        ValueError: If the types are malformed, or `names` names none of them.
    """

    def __init__(
        self,
        entity_types: Any = DEFAULT_TYPES,
        *,
        names: Mapping[str, str] | None = None,
        threshold: float | None = None,
        model: str | None = None,
        device: str | None = None,
        pipeline: Any = None,
        supported_language: str = "en",
    ):
        self._schema = resolve_schema(entity_types)
        if unknown := [name for name in names or {} if name not in self._schema.names]:
            raise ValueError(
                f"`names`: {unknown[0]!r} is none of the types, which are: {', '.join(self._schema.names)}"
            )
        self._names = {name: _presidio_name(name) for name in self._schema.names} | dict(names or {})
        self._options = {} if threshold is None else {"threshold": threshold}
        self._source = model, device
        self._pipeline = pipeline
        super().__init__(
            supported_entities=sorted(set(self._names.values())),
            name="JPTRecognizer",
            supported_language=supported_language,
        )

    def load(self) -> None:
        """Loads the model; Presidio calls it once."""
        if self._pipeline is None:
            model, device = self._source
            self._pipeline = load_pipeline(model, device=device)

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """
        Args:
            text (`str`): The text.
            entities (`list[str]`): Presidio's names of the requested types; all if empty.
            nlp_artifacts (*optional*): Not used.
        """
        found = self._pipeline(text, entity_types=self._schema, **self._options)
        results = []
        for each in found:
            name = self._names[each["entity_group"]]
            if not entities or name in entities:
                score = float(each["score"])
                explanation = AnalysisExplanation(
                    recognizer=self.name, original_score=score, textual_explanation=f"type: {each['entity_group']}"
                )
                results.append(RecognizerResult(name, each["start"], each["end"], score, explanation))
        return results


def _presidio_name(name: str) -> str:
    return "_".join(name.replace("-", " ").upper().split())
