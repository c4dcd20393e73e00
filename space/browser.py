"""The Space on the loopback interface, and a headless browser for its tests, screenshots and timings.

Uses the installed Chromium (`make browser`); Playwright downloads nothing.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180
LOOPBACK = "127.0.0.1"
CHROMIUM_OPTIONS = (
    "--no-sandbox",  # its sandbox needs rights that containers do not grant
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def launch_browser() -> Iterator:
    """
    Yields:
        `playwright.sync_api.Browser`: A headless Chromium.

    Raises:
        FileNotFoundError: If none is installed.
    """
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    if executable is None:
        raise FileNotFoundError("no Chromium is installed; `make browser` does it on Debian, for root")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


def keep_local(context, refused: list[str] | None = None) -> None:
    """Restricts a Playwright context to the loopback interface; other requested addresses go to `refused`."""

    def decide(route) -> None:
        if urlsplit(route.request.url).hostname in (LOOPBACK, "localhost"):
            route.continue_()
        else:
            if refused is not None:
                refused.append(route.request.url)
            route.abort()

    context.route("http*://**", decide)


@contextmanager
def start_space(**environment: str) -> Iterator[str]:
    """
    Starts `app.py` in a separate process, on a free port.

    Args:
        environment: Additional environment variables.

    Yields:
        `str`: Its address, once it answers.

    Raises:
        RuntimeError: If it ends or does not answer in time; with its last output.
    """
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
    variables = {
        **os.environ,
        "GRADIO_SERVER_NAME": LOOPBACK,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://{LOOPBACK}:{port}/"
            _wait(address, process, log)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(address: str, process: subprocess.Popen, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    log.seek(0)
    said = log.read().decode(errors="replace")[-2000:]
    raise RuntimeError(f"the Space did not answer at {address}:\n{said}")
