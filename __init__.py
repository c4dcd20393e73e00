"""Just Pass Twice: zero-shot named entity recognition with causal language models and type definitions."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_jpt import JPTConfig
    from .modeling_jpt import JPTForTokenClassification
    from .pipeline_jpt import JPTPipeline
    from .schema_jpt import load_schema

_MODULES = {
    "JPTConfig": "configuration_jpt",
    "JPTForTokenClassification": "modeling_jpt",
    "JPTPipeline": "pipeline_jpt",
    "load_schema": "schema_jpt",
}

__all__ = ["JPTConfig", "JPTForTokenClassification", "JPTPipeline", "load_schema"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is: torch and transformers take seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
