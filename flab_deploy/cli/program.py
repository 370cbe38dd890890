"""The `flab` program: its one error boundary, its exit codes and its log.

0 ok, 1 a stage or gate failed, 2 usage or bad input, 3 inconclusive or invalid measurement, 130
interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cyclopts import App, CycloptsError, CycloptsPanel, Group, ValidationError

from flab_deploy import __version__
from flab_deploy.cli.settings_file import FILE_NAME, SettingsFile
from flab_deploy.cli.verb import GROUPS, Verb, all_verbs
from flab_deploy.errors import FlabError
from flab_deploy.settings.shared.bounds import check_value

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

_PACKAGES = ("flab_deploy", "serving", "flows")
_HELP = f"""Make a code language model smaller, prove what was kept, and put it into production.

MODEL is a directory, a hub id such as org/name@revision, or `reference`. Options can also stand \
in {FILE_NAME} under the verb's name; `flab run` reads the sections of its stages, too."""


def make_app(verbs: Sequence[Verb]) -> App:
    """The program with these verbs."""
    app = App(
        name="flab",
        help=_HELP,
        help_format="plaintext",
        version=__version__,
        suppress_keyboard_interrupt=False,
        help_formatter=_Help(),
        error_formatter=_usage_error,
    )
    app.config = (SettingsFile(app, {verb.name: verb.sections for verb in verbs}),)
    groups = {name: Group(name, sort_key=number) for number, name in enumerate(GROUPS)}
    for verb in verbs:
        app.command(
            verb.target,
            name=verb.name,
            help=_help_of(verb),
            usage=verb.usage and f"Usage: flab {verb.usage}",
            group=groups[verb.group],
            sort_key=verb.position,
        )
    own = Group("Program", sort_key=len(GROUPS))
    for flag in ("--help", "--version"):
        app[flag].group = (own,)
    return app


def _help_of(verb: Verb) -> str:
    lines = [verb.summary, f"Example: {verb.example}"]
    if verb.schemas:
        schemas = " or ".join(f"`flab schema {name}`" for name in verb.schemas)
        lines.append(f"What --json prints is described by {schemas}.")
    return "\n\n".join(lines)


class _Help:
    """Panels of the help, with docstrings wrapped to the screen and not as in the source."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel."""
        from cyclopts.help import DefaultFormatter
        from rich.text import Text

        for entry in panel.entries:
            text = getattr(entry.description, "primary_renderable", None)
            if isinstance(text, Text):
                entry.description.primary_renderable = Text(" ".join(text.plain.split()))
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: object) -> None:
        """Print the line that says how the verb is called."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)


def _usage_error(error: CycloptsError) -> object:
    """What is printed for a wrong command line.

    cyclopts checks declared bounds by itself if pydantic happens to be loaded, and words them as
    pydantic does; our own check says it the same way every time.
    """
    argument = error.argument
    if isinstance(error, ValidationError) and argument is not None and argument.tokens:
        field = argument.field_info
        check_value(".".join(argument.keys), argument.convert(), field.annotation, field.default)
    return CycloptsPanel(error)


def _start_logging() -> None:
    level = os.environ.get("FLAB_LOG", "INFO").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel("INFO")
        logger.handlers = [handler]
        logger.propagate = False
    # One line per request would slow a load test down.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _stop(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; expected failures end as one line on stderr and an exit code."""
    _start_logging()
    if not Path.cwd().exists():
        _stop("the current directory no longer exists; change to one that does", 2)
    try:
        make_app(all_verbs())(list(sys.argv[1:] if arguments is None else arguments))
    except FlabError as error:
        _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("interrupted; what is finished is kept, the same command goes on from there", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
