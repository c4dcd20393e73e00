"""The page: header, tabs, look and limits. `build_page` assembles it, `launch_options` sets how it is served."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from ..tools.diagnostics import diagnose_schema
from .batch import batch_tab
from .comparing import compare_tab
from .editor import script, type_notes
from .endpoints import add_endpoints, api_tab
from .errors import PageError
from .evaluating import errors_tab
from .finding import find_tab
from .model import FAILED, READY, Model
from .redacting import redact_tab

logger = logging.getLogger(__name__)

TITLE = "Just Pass Twice: entities you describe in words"
MAX_WAITING = 32
MAX_UPLOAD = "10mb"
MAX_SESSIONS = 500  # whose texts and results are kept
UPLOAD_SECONDS = 300  # how long uploads are kept
EMBEDDING_WAIT = 2.0  # seconds that a check of the types waits until another one has compared definitions
FOLDER = Path(__file__).parent
UNANSWERED = (
    "The request could not be answered as it was sent. The tab API says what each call takes; if it was like that, this is "
    "a fault of the page, and its log has the reason."
)


class Page(gr.Blocks):
    """Blocks that answer every error with a sentence, without stack traces or paths of the server."""

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Runs an event handler, with what Gradio does before and after it."""
        try:
            return await super().process_api(*args, **options)
        except gr.Error:
            raise
        except PageError as error:
            message = str(error)
        except InvalidPathError:
            message = "Only files that were uploaded to this page can be read."
        except Exception:
            logger.exception("a request could not be answered")
            message = UNANSWERED
        raise gr.Error(message, print_exception=False)


def build_page(load: Callable[[], Any]) -> gr.Blocks:
    """
    Builds the page and starts to load its model.

    Args:
        load (`Callable`): Makes the `jpt-ner` pipeline; called once, on a separate thread.
    """
    model = Model(load)
    check_types = _type_check(model)
    delete_cache = (60, UPLOAD_SECONDS)
    with Page(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=delete_cache) as page:
        with gr.Row(elem_id="jpt-header"):
            gr.HTML(script("header.html"), apply_default_css=False)
            status = gr.HTML(_status(model.state), elem_id="jpt-status", apply_default_css=False)
        with gr.Tabs(elem_id="jpt-tabs"):
            with gr.Tab("Find", id="find"):
                finding = find_tab(model, check_types)
            with gr.Tab("Files", id="files", elem_id="jpt-tab-files"):
                batch_tab(model, finding)
            with gr.Tab("Redact", id="redact", elem_id="jpt-tab-redact"):
                redact_tab(model, finding)
            with gr.Tab("Compare", id="compare", elem_id="jpt-tab-compare"):
                compare_tab(model, check_types, finding)
            with gr.Tab("Errors", id="errors", elem_id="jpt-tab-errors"):
                errors_tab(model, finding)
            with gr.Tab("API", id="api", elem_id="jpt-tab-api"):
                api_tab()
        add_endpoints(model, check_types)
        page.load(
            _watch(model), None, status, show_progress="hidden", concurrency_limit=None, api_visibility="private"
        )
    # Gradio would run calls that bypass the queue all at once, except on Spaces.
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=4, api_open=False)


def _type_check(model: Model) -> Callable[[Any], dict[str, Any]]:
    """The check that the table calls after changes. It bypasses the queue, so only one call at a time compares definitions."""
    embedding = threading.Lock()

    def check_types(types: Any) -> dict[str, Any]:
        encoder = model.pipeline().definition_encoder if model.state == READY else None
        if encoder is None or not embedding.acquire(timeout=EMBEDDING_WAIT):
            return type_notes(types, diagnose_schema)
        try:
            return type_notes(types, lambda entity_types: diagnose_schema(entity_types, encoder))
        finally:
            embedding.release()

    return check_types


def _status(state: str) -> str:
    kind = {READY: "ready", FAILED: "failed"}.get(state, "loading")
    return f'<p class="jpt-status-line jpt-{kind}" role="status"><span aria-hidden="true"></span>{state}</p>'


def _watch(model: Model):
    async def watch():
        async for state in model.states():
            yield _status(state)

    return watch


def launch_options() -> dict[str, Any]:
    """Arguments of `launch`: look and limits."""
    return {
        "theme": theme(),
        "css": script("style.css"),
        "head": f"<script>{script('page.js')}</script>",
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": MAX_SESSIONS,
        "ssr_mode": False,
        "show_error": False,  # of errors that are not answers
        "footer_links": ["settings"],
    }


def theme() -> gr.themes.Base:
    """Neutral greys and one accent, so that the types' colours stand out."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        text_size=gr.themes.sizes.text_md,
        # Its semibold file, which Gradio would take, lacks most letters.
        font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        color_accent="*primary_600",
        block_shadow="none",
        block_padding="0px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        checkbox_border_radius="4px",
        checkbox_label_background_fill="transparent",
        checkbox_label_border_width="0px",
        checkbox_label_shadow="none",
    )
