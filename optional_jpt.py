"""Packages that only some features need: imported on demand, with a clear error if they are missing.

They are imported by name, because the Hub's loader treats every import statement, even in a function, as a requirement of
the whole repository.
"""

import importlib
import importlib.util
from types import ModuleType

OPENAI_PREFIX = "openai:"  # of the names of definition encoders behind an OpenAI-compatible endpoint


def import_optional(package: str, use: str) -> ModuleType:
    """
    Args:
        package (`str`): Name of the package, as `import` takes it.
        use (`str`): What needs the package, as the subject of a sentence.

    Raises:
        ImportError: If it is not installed, or cannot be imported; the message says which, and how to install it.
    """
    check_installed(package, use)
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{use} needs {package}, which is installed but cannot be imported: {error}") from error


def check_installed(package: str, use: str) -> None:
    """
    The cheap half of [`import_optional`], to fail early.

    Raises:
        ImportError: If the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"{use} needs {package}: `pip install {package.replace('_', '-')}`")


def check_encoder_package(encoder: str) -> None:
    """
    Checks that the package of a definition encoder is installed, without importing it.

    Args:
        encoder (`str`): Its name in model configurations.

    Raises:
        ImportError: If it is not installed.
    """
    if encoder != "backbone":
        package = "openai" if encoder.startswith(OPENAI_PREFIX) else "sentence_transformers"
        check_installed(package, f"the definition encoder {encoder!r}")
