"""The command line: one file per subcommand, one place that turns errors into exit statuses.

Exit status: 0 done or gate passed, 1 gate failed or cannot tell, 2 wrong use or bad input,
130 interrupted. Results go to stdout and files, everything else to stderr.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from typing import Annotated

import typer

from edge_arm import __version__
from edge_arm.cli.benchmark import benchmark
from edge_arm.cli.build import build
from edge_arm.cli.bundle import bundle_app
from edge_arm.cli.calibrate import calibrate
from edge_arm.cli.data import data_app
from edge_arm.cli.demo import demo
from edge_arm.cli.doctor import doctor
from edge_arm.cli.export import export
from edge_arm.cli.import_checkpoint import import_checkpoint
from edge_arm.cli.inspect import inspect
from edge_arm.cli.measure import measure
from edge_arm.cli.processes import speaks_for_all
from edge_arm.cli.run import EXAMPLES, run
from edge_arm.cli.serve_triton import serve_triton
from edge_arm.cli.train import train
from edge_arm.runtime.errors import EdgeArmError

app = typer.Typer(
    name="edge-arm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Put a facial-expression model (ResNet-18 + ARM) on a Jetson and prove what it cost.",
)
for command in (demo, train, export, calibrate, build, measure, benchmark, inspect, doctor):
    app.command()(command)
app.command(epilog=EXAMPLES)(run)
app.command("import")(import_checkpoint)
app.command("serve-triton")(serve_triton)
app.add_typer(data_app, name="data")
app.add_typer(bundle_app, name="bundle")

_DEBUG_HELP = "Show the Python traceback of an error."


class _PresentStderr(logging.Handler):
    """Writes to what sys.stderr is now: a progress bar puts itself in between while it is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"edge-arm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help=_DEBUG_HELP)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Set up logging; the only place that does."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[_PresentStderr()],
    )
    # Every room's own notes are worth a line ("data rafdb: ..."); libraries' are not.
    if not debug:
        logging.getLogger("edge_arm").setLevel(logging.INFO)


def main() -> int:
    """Run the command line.

    Returns:
        The exit status.
    """
    debug = "--debug" in sys.argv[1:]
    # OpenCV writes its own lines about a broken picture beside ours; it reads this when imported.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # What the terminal's encoding lacks, such as a rich table's dots, must not stop a result.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        result = app(standalone_mode=False)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        # Of a closed pipe rich makes this, with status 1, which says here that a gate failed.
        if isinstance(stop.__context__, BrokenPipeError):
            return 0
        raise
    except EdgeArmError as error:
        if debug:
            traceback.print_exc()
        return _say(f"error: {error}", 2)
    except Exception as error:
        return _other_error(error, debug)
    return result if isinstance(result, int) else 0


def _other_error(error: Exception, debug: bool) -> int:
    # Typer carries its own copy of click's exceptions, so they are told by what they can do.
    exit_code = getattr(error, "exit_code", None)
    show = getattr(error, "show", None)
    if isinstance(exit_code, int) and callable(show):
        if speaks_for_all():
            show()
        return exit_code
    if type(error).__name__ == "Abort":
        return _say("interrupted", 130)
    if isinstance(error, OSError):
        place = f" {str(error.filename)!r}" if error.filename else ""
        message = f"error: the system refused{place}: {error.strerror or error}"
    elif isinstance(error, MemoryError):
        message = "error: out of memory; use smaller batches or images"
    else:
        message = (
            f"error: this is a bug in edge-arm ({type(error).__name__}: {error}); "
            "run the command again with 'edge-arm --debug ...' and report what it prints"
        )
    if debug:
        traceback.print_exc()
    return _say(message, 2)


def _say(message: str, status: int) -> int:
    typer.echo(message.replace("\n", " "), err=True)
    return status
