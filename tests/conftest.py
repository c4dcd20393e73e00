"""Shared fixtures. Temporary Hugging Face caches, so that tests neither read nor write a user's own."""

import os
import tempfile

os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="jpt-hf-")
os.environ["HF_HUB_OFFLINE"] = "1"
