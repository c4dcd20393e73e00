"""GLiNER and GLiNER2 as systems to time: their own libraries, each in its own environment and process (`gliner_process`)."""

import contextlib
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import torch

from ...backbone_jpt import cache_folder
from .gliner_process import SHAPES
from .systems import System
from .texts import merged_types

# What is installed for each library, its own pinned version first.
REQUIREMENTS = {
    "gliner": ("gliner==0.2.29", "transformers<5.17"),
    "gliner2": ("gliner2==2.1.0",),
}
GLINER_SYSTEMS = tuple(f"{library}-{shape}" for library, shapes in SHAPES.items() for shape in shapes)


class GLiNERSystem(System):
    """
    GLiNER's or GLiNER2's own library in its own process (`gliner_process`). GLiNER is given the names of the types, GLiNER2
    their definitions too.
    """

    def __init__(self, name: str, batch_size: int, dtype: torch.dtype, device: str, tokenizer_file: Path):
        super().__init__(name, batch_size)
        library, _, shape = name.partition("-")
        options = {"library": library, "tokenizer_file": str(tokenizer_file), "shape": shape, "device": device}
        options["dtype"] = str(dtype).removeprefix("torch.")
        options["threads"] = torch.get_num_threads()
        # A file, because nobody would read a pipe while the process works.
        self._log = (cache_folder() / "bench" / f"{self.name}.log").open("w+")
        self._process = subprocess.Popen(
            [str(gliner_python(library)), str(Path(__file__).with_name("gliner_process.py")), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self.process_id = self._process.pid
        self.parameters = self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise OSError(f"GLiNER's process ended: {self._log.read().strip()[-500:]}")
        return json.loads(line)

    def read(self, records):
        texts = [each.text for each in records]
        call = {"texts": texts, "types": merged_types(records), "batch_size": self.batch_size}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        self._answer()
        return []

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()


def gliner_python(library: str) -> Path:
    """
    Python of a virtual environment with `gliner` or `gliner2`, created on first use in the cache folder. It shares PyTorch,
    and every other package that fits, with the current environment: less to download, and both are timed with the same PyTorch.

    Raises:
        OSError: If it cannot be installed.
    """
    package = REQUIREMENTS[library][0].replace("==", "-")
    folder = cache_folder() / "bench" / f"{package}-torch-{torch.__version__}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "zz-shared.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n")
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", *REQUIREMENTS[library]]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise OSError(
                f"{package} cannot be installed (name other systems with --system): {done.stderr.strip()[-500:]}"
            )
        ready.touch()
    return python


def tokenizer_file(tokenizer) -> Path:
    """The tokenizer as a file for another process."""
    folder = cache_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(file))
    return file
