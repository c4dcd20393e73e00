"""The web page: describe entity types, paste a text, see what is found. Runs here and as a Hugging Face Space.

`JPT_MODEL` names a model folder or Hub id to use instead of this folder.
"""

import importlib.util
import os
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent

if (
    importlib.util.find_spec("jpt_ner") is None
):  # as on a Space, where nothing is installed: this folder is the package
    spec = importlib.util.spec_from_file_location(
        "jpt_ner", HOME / "__init__.py", submodule_search_locations=[str(HOME)]
    )
    sys.modules["jpt_ner"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["jpt_ner"])

from jpt_ner.space.page import build_page, launch_options  # noqa: E402


def load():
    """The pipeline of the model; visitors' definitions are not kept on disk."""
    # Imported here, on the thread that loads: the page is there at once.
    from jpt_ner.tools.loading import load_service_pipeline

    return load_service_pipeline(os.environ.get("JPT_MODEL"))


if __name__ == "__main__":
    build_page(load).launch(**launch_options())
