"""Packages that only some uses need: imported when they are, with a sentence if they are missing.

They are imported by name, because the Hub's loader takes every import statement it sees, in functions too, for a
requirement of the whole repository.
"""

import importlib
import importlib.util
from types import ModuleType

OPENAI_PREFIX = "openai:"  # of the names of definition encoders behind an OpenAI-compatible endpoint


def import_optional(package: str, use: str) -> ModuleType:
    """
    Args:
        package (`str`): Name of the package, as `import` takes it.
        use (`str`): What needs it, as the subject of a sentence.

    Raises:
        ImportError: If it is not installed, or is but cannot be imported; the message says which, and how to install it.
    """
    check_installed(package, use)
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{use} needs {package}, which is installed but cannot be imported: {error}") from error


def check_installed(package: str, use: str) -> None:
    """
    The cheap half of [`import_optional`], to know early.

    Raises:
        ImportError: If the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"{use} needs {package}: `pip install {package.replace('_', '-')}`")


def check_encoder_package(encoder: str) -> None:
    """
    Looks whether the package is there that a definition encoder needs, without importing it.

    Args:
        encoder (`str`): Its name, as model configurations have it.

    Raises:
        ImportError: If it is not.
    """
    if encoder != "backbone":
        package = "openai" if encoder.startswith(OPENAI_PREFIX) else "sentence_transformers"
        check_installed(package, f"the definition encoder {encoder!r}")
