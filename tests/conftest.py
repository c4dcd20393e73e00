"""Shared fixtures. Temporary caches, so that tests neither read nor write a user's own."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers of one run share what is converted and embedded
    _caches = tempfile.TemporaryDirectory(prefix="jpt-tests-", ignore_cleanup_errors=True)
    os.environ["HF_HOME"] = os.path.join(_caches.name, "huggingface")
    os.environ["JPT_CACHE"] = os.path.join(_caches.name, "jpt")

import hashlib  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from tiny import save_backbone, tiny_model, tiny_tokenizer  # noqa: E402

settings.register_profile("untimed", deadline=None)  # a busy disk or processor is no failure
settings.load_profile("untimed")
torch.set_num_threads(1)  # Threads cost more than they gain on models this small.


LONGEST = ("space/test_app.py", "training/test_run.py", "runtime/test_by_id.py", "runtime/test_pipeline_object.py")


def pytest_collection_modifyitems(items):
    """Files that take longest begin first, so that workers end together (`--dist loadfile --no-loadscope-reorder`)."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


class FakeEncoder:
    """A definition encoder of random vectors, always the same for the same text."""

    name = "fake"

    def encode(self, texts):
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=6) for seed in seeds]).astype(np.float32)


@pytest.fixture(scope="session")
def encoder():
    return FakeEncoder()


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """Folder of a random backbone with room for prompts in so small a vocabulary."""
    return save_backbone(tmp_path_factory.mktemp("backbone"), max_position_embeddings=4096)


@pytest.fixture(scope="session")
def make_model(backbone):
    """Builds untrained models with adapters, of other configuration values if given."""

    def make(**values):
        defaults = {"prompt_template": "compact", "definition_encoder": "fake", "max_length": 4096}
        return tiny_model(backbone, **{**defaults, "switch_cost": 0.5, "outside_bias": 0.3, **values})

    return make


@pytest.fixture(scope="session")
def make_pipeline(make_model, encoder):
    """Builds pipelines around such models."""

    def make(options=None, **values):
        return make_model(**values).as_pipeline(tiny_tokenizer(), definition_encoder=encoder, **(options or {}))

    return make


@pytest.fixture(scope="session")
def pipe(make_pipeline):
    return make_pipeline(type_embedding="both")
