"""Entry point of Hugging Face Inference Endpoints, which look for a `handler.py` with this class in a model repository."""

from collections.abc import Mapping
from typing import Any


class EndpointHandler:
    """
    Args:
        path (`str`): Folder of the repository.
    """

    def __init__(self, path: str = "."):
        from transformers import pipeline

        self.pipeline = pipeline("jpt-ner", model=path, trust_remote_code=True, type_files=False)

    def __call__(self, data: Mapping[str, Any]) -> Any:
        """
        Args:
            data (`Mapping`):
                `inputs`: a text, a dict with `text` and `entity_types`, or a list of such. `parameters`, *optional*: options
                of the pipeline's call, such as `entity_types`, `threshold`, `nested` and `top_k`.

        Returns:
            What the pipeline returns.

        Raises:
            ValueError: If something is not as described, or types are said to be in a file, which would be the server's.
        """
        if "inputs" not in data:
            raise ValueError(
                "`inputs` must be given: a text, a dict with `text` and `entity_types`, or a list of such"
            )
        inputs, parameters = data["inputs"], data.get("parameters") or {}
        if not isinstance(parameters, Mapping):
            raise ValueError(f"`parameters` must be a dict of options, got {type(parameters).__name__}")
        try:
            return self.pipeline(inputs, **parameters)
        except TypeError as error:
            raise ValueError(f"`parameters`: {error}") from error
