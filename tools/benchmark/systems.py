"""The systems that are timed side by side, behind one interface: texts and types in, nothing out.

`read(texts, types)` does the work of tagging the texts, the way its users would have it done. What does not depend on
the texts (loading, reading the prompt once, the other environment) is done before anything is timed.
"""

import contextlib
import json
import os
import shutil
import subprocess
import venv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification
from transformers import pipeline as transformers_pipeline

from ...backbone_jpt import cache_folder
from ...modeling_jpt import JPTForTokenClassification
from ..data.records import Record
from .gliner_process import SHAPES as GLINER_SHAPES

GLINER_VERSION = "0.2.29"
GLINER_REQUIREMENTS = (f"gliner=={GLINER_VERSION}", "transformers<5.17")
SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8},
    "qwen3-4b": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "qwen3-8b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
}
KEY_VALUE_HEADS = 8
GENERATION_PROMPT = (
    "Find all entities of the given types in the text. Answer with a JSON list of [mention, type] pairs.\n"
    "{types}\nText: {text}\nEntities: "
)


class System(ABC):
    """
    Args:
        name (`str`): Short and unique.
        batch_size (`int`): Texts that are read together.
    """

    def __init__(self, name: str, batch_size: int):
        self.name, self.batch_size = name, batch_size
        self.parameters: dict[str, int] = {}

    @abstractmethod
    def read(self, records: Sequence[Record], types: Mapping[str, str]) -> None:
        """Tags the texts of the records. Only forced output lengths depend on their entities."""

    def close(self) -> None:  # noqa: B027 - most have started nothing
        """Ends what the system has started."""


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of all parameters, and of those in the input embeddings, which cost a look-up."""
    embeddings = model.get_input_embeddings().weight.numel()
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "embeddings": embeddings}


class JPT(System):
    """The pipeline as users call it; with `batch_size=1` on one text after another, its prompt already read."""

    def __init__(self, name: str, pipeline, batch_size: int):
        super().__init__(name, batch_size)
        self.pipeline = pipeline
        self.parameters = count_parameters(pipeline.model.model)

    def read(self, records, types):
        if self.batch_size == 1:
            for record in records:
                self.pipeline(record.text, entity_types=types)
        else:
            self.pipeline([record.text for record in records], entity_types=types, batch_size=self.batch_size)


class NaiveJPT(JPT):
    """The method without care: plain attention, one text at a time, the whole prompt again with each."""

    def __init__(self, pipeline):
        super().__init__("jpt-naive", pipeline, 1)
        if pipeline.model.model.config._attn_implementation != "sdpa":
            raise ValueError('`pipeline`: its model must be loaded with `attn_implementation="sdpa"`')


class Autoregressive(System):
    """
    The same backbone generating a JSON list of mentions and types, with `generate` and its cache of keys and values.
    Output lengths are forced to those of the gold output: what the model would say does not distort the time.
    """

    def __init__(self, backbone, tokenizer, batch_size: int):
        super().__init__("autoregressive" if batch_size == 1 else "autoregressive-batch", batch_size)
        self.tokenizer = tokenizer
        config = backbone.config
        with torch.device("meta"):
            self.model = AutoModelForCausalLM.from_config(config, attn_implementation=config._attn_implementation)
        self.model.set_submodule(self.model.base_model_prefix, backbone)
        # Untied heads are not part of the checkpoint; that of the embeddings is as large.
        self.model.lm_head.weight = backbone.get_input_embeddings().weight
        self.model.generation_config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
        self.parameters = count_parameters(backbone)

    def gold_length(self, record: Record) -> int:
        """Tokens of the output, and its end."""
        mentions = [[record.text[each.start : each.end], each.label] for each in record.entities]
        return len(self.tokenizer(json.dumps(mentions, ensure_ascii=False)).input_ids) + 1

    def read(self, records, types):
        definitions = "\n".join(f"- {name}: {definition}" for name, definition in types.items())
        for start in range(0, len(records), self.batch_size):
            batch = records[start : start + self.batch_size]
            prompts = [GENERATION_PROMPT.format(types=definitions, text=record.text) for record in batch]
            length = max(self.gold_length(record) for record in batch)
            self.tokenizer.padding_side = "left"
            inputs = self.tokenizer(prompts, return_tensors="pt", padding=len(batch) > 1).to(self.model.device)
            with torch.inference_mode():
                self.model.generate(**inputs, max_new_tokens=length, min_new_tokens=length, do_sample=False)


class Padellm(System):
    """The same backbone decoding all types and mentions of a text in parallel (PaDeLLM-NER), gold outputs forced."""

    def __init__(self, model, tokenizer):
        super().__init__("padellm", 1)
        from ...generative.configuration_generative import GenerativeConfig
        from ...generative.decoding import Decoder
        from ...generative.extraction import Task, build_system

        self._task = Task
        decoder = Decoder(model, {tokenizer.eos_token_id})
        self._system = build_system(tokenizer, [decoder], GenerativeConfig(system="padellm", definitions=True))
        self.parameters = count_parameters(model.base_model)

    def read(self, records, types):
        for record in records:
            self._system.read([self._task(record.text, dict(types))], forced=[record.entities])


class Encoder(System):
    """A plain `token-classification` pipeline with fixed labels around an encoder of BERT-base's size: a lower bound."""

    def __init__(self, tokenizer, batch_size: int, dtype: torch.dtype, device: str):
        super().__init__("encoder", batch_size)
        config = AutoConfig.for_model("bert", vocab_size=len(tokenizer), num_labels=19)
        model = AutoModelForTokenClassification.from_config(config).to(dtype).eval()
        self.pipeline = transformers_pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple", device=device
        )
        self.parameters = count_parameters(model)

    def read(self, records, types):
        self.pipeline([record.text for record in records], batch_size=self.batch_size)


class GLiNER(System):
    """GLiNER's own library in its own process (`gliner_process`), asked by the names of the types."""

    def __init__(self, shape: str, batch_size: int, dtype: torch.dtype, device: str, tokenizer_file: Path):
        super().__init__(f"gliner-{shape}", batch_size)
        options = {"tokenizer_file": str(tokenizer_file), "shape": shape, "device": device}
        options["dtype"] = str(dtype).removeprefix("torch.")
        options["threads"] = torch.get_num_threads()
        # A file, since nobody reads a pipe while it works.
        self._log = (cache_folder() / "bench" / f"{self.name}.log").open("w+")
        self._process = subprocess.Popen(
            [str(gliner_python()), str(Path(__file__).with_name("gliner_process.py")), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self.parameters = self._answer()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise OSError(f"GLiNER's process ended: {self._log.read().strip()[-500:]}")
        return json.loads(line)

    def read(self, records, types):
        call = {"texts": [each.text for each in records], "types": list(types), "batch_size": self.batch_size}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        self._answer()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()


def gliner_python() -> Path:
    """
    Python of a virtual environment with GLiNER, made on first use in the cache folder. It takes PyTorch and all else
    that fits from the environment this runs in: less to download, and both are timed with the same PyTorch.

    Raises:
        OSError: If it cannot be installed.
    """
    folder = cache_folder() / "bench" / f"gliner-{GLINER_VERSION}-torch-{torch.__version__}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "zz-shared.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n")
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", *GLINER_REQUIREMENTS]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise OSError(
                f"GLiNER cannot be installed (name other systems with --system): {done.stderr.strip()[-500:]}"
            )
        ready.touch()
    return python


def random_model(config, shape: str, device: str, dtype: torch.dtype) -> JPTForTokenClassification:
    """
    A JPT model around a Qwen3 backbone of the given shape with random weights, made where it is used.
    """
    config.text_config = AutoConfig.for_model(
        "qwen3",
        **{"num_key_value_heads": KEY_VALUE_HEADS, "head_dim": 128, **SHAPES[shape]},
        vocab_size=151936,
        max_position_embeddings=40960,
        dtype=dtype,
    )
    with torch.device("meta"):
        model = JPTForTokenClassification(config)
    rotary = model.model.rotary_emb
    model.model.to(dtype)
    model = model.to_empty(device=device).eval()
    model.model.rotary_emb = type(rotary)(config.text_config).to(device)  # its buffers are computed, not drawn
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm" in name else weight.normal_(std=0.02)
    return model.requires_grad_(False)


def build_systems(names: Sequence[str], model: str, tokenizer, device: str, batch_size: int) -> list[System]:
    """
    The systems by their names, all with weights in the number format that JPT chooses for the machine.

    Args:
        names (`Sequence[str]`): From `SYSTEMS`.
        model (`str`): Folder or Hub id of a JPT model.
        batch_size (`int`): Of the systems that batch.

    Raises:
        ValueError: For an unknown name.
    """
    unknown = sorted(set(names) - set(SYSTEMS))
    if unknown:
        raise ValueError(f"unknown system {unknown[0]!r}; there are: {', '.join(SYSTEMS)}")
    fast = JPTForTokenClassification.from_pretrained(model)
    dtype = fast.model.dtype
    plain = JPTForTokenClassification.from_pretrained(model, attn_implementation="sdpa")
    pipeline = fast.as_pipeline(tokenizer, device=device)
    naive = NaiveJPT(plain.as_pipeline(tokenizer, device=device))
    autoregressive = Autoregressive(plain.model, tokenizer, 1)
    file = tokenizer_file(tokenizer)
    builders = {
        "jpt-naive": lambda: naive,
        "jpt-single": lambda: JPT("jpt-single", pipeline, 1),
        "jpt-batch": lambda: JPT("jpt-batch", pipeline, batch_size),
        "autoregressive": lambda: autoregressive,
        "autoregressive-batch": lambda: Autoregressive(plain.model, tokenizer, batch_size),
        "padellm": lambda: Padellm(autoregressive.model, tokenizer),
        "encoder": lambda: Encoder(tokenizer, batch_size, dtype, device),
    }
    for shape in GLINER_SHAPES:
        builders[f"gliner-{shape}"] = lambda shape=shape: GLiNER(shape, batch_size, dtype, device, file)
    return [builders[name]() for name in names]


def tokenizer_file(tokenizer) -> Path:
    """The tokenizer as a file for another process."""
    folder = cache_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(file))
    return file


SYSTEMS = (
    *("jpt-naive", "jpt-single", "jpt-batch", "autoregressive", "autoregressive-batch", "padellm", "encoder"),
    *(f"gliner-{shape}" for shape in GLINER_SHAPES),
)
