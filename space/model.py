"""The model of the page, loaded in the background. Requests wait until it is ready.

Knows nothing of components. The pipeline comes from the function that the page was built with.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

from . import presets
from .errors import ModelError

logger = logging.getLogger(__name__)

LOADING = "Loading the model"
READY = "Model ready"
FAILED = "The model could not be loaded"
WARMING_TEXT = "Marta Kovac moved to Lisbon."


class Model:
    """
    A pipeline that loads while the page is already there.

    Args:
        load (`Callable`): Makes the pipeline. Called once, on a separate thread, when the first page is built.
    """

    def __init__(self, load: Callable[[], Any]):
        self._future: Future = Future()
        threading.Thread(target=self._load, args=(load,), name="load-model", daemon=True).start()

    def _load(self, load: Callable[[], Any]) -> None:
        try:
            pipeline = load()
            pipeline(WARMING_TEXT, entity_types=presets.FIRST)  # builds what is otherwise built on first use
            self._future.set_result(pipeline)
        except Exception as error:  # whatever it is, the page stays up and reports it
            logger.exception("the model could not be loaded")
            self._future.set_exception(error)

    def pipeline(self) -> Any:
        """
        The pipeline, once it is loaded.

        Raises:
            ModelError: If loading failed.
        """
        try:
            return self._future.result()
        except Exception as error:
            raise ModelError(f"{FAILED}. Whoever runs this page finds the reason in its log.") from error

    @property
    def state(self) -> str:
        """`LOADING`, `READY` or `FAILED`."""
        if not self._future.done():
            return LOADING
        return FAILED if self._future.exception() else READY

    async def states(self) -> AsyncIterator[str]:
        """The present state, and each change, until the model is loaded or loading has failed."""
        state = self.state
        yield state
        while state == LOADING:
            await asyncio.sleep(0.2)
            state = self.state
        yield state
