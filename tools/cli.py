"""
The command line `jpt-ner`: assembles the commands. Has no logic of its own.

Commands import heavy packages only when they need them, so that `--help` answers at once.
"""

import signal
import sys

import typer
from typer.core import TyperGroup

from .commands.arguments import expanded
from .commands.attention import attention
from .commands.checkpoints import average, convert
from .commands.comparison import bench, compare
from .commands.data import annotate, data_app
from .commands.evaluation import calibrate, evaluate, sweep
from .commands.redaction import redact
from .commands.serving import bench_serve, serve
from .commands.tag import tag
from .commands.training import train
from .commands.types import types_app


class _Commands(TyperGroup):
    """Turns errors that users can fix (wrong values, missing files or packages) into one line and exit code 2."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise  # click exits quietly when the reader of a pipe has gone
        except (ValueError, OSError, ImportError) as error:
            from .files.highlight import printable  # names in messages may hold control characters

            message = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else error
            typer.secho(f"error: {printable(str(message))}", fg="red", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds entities of any types, described in words, in any text. Just Pass Twice: zero-shot NER.",
)
app.add_typer(types_app, name="types")
app.add_typer(data_app, name="data")
for command in (
    expanded(tag),
    expanded(redact),
    train,
    expanded(evaluate),
    expanded(compare),
    convert,
    average,
    bench,
    expanded(calibrate),
    expanded(sweep),
    expanded(annotate),
    attention,
    expanded(serve),
    bench_serve,
):
    app.command()(command)


def main() -> None:
    """Entry point of the console script. SIGTERM, which job schedulers send, ends a run cleanly, as Ctrl+C does."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()


if __name__ == "__main__":
    sys.exit(main())
