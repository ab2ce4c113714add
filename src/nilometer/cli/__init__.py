"""The command line: one file per verb, each reads, calls and prints."""

import errno
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from nilometer.errors import NilometerError

__all__ = ["LazyVerbs", "app", "main"]

VERBS = {
    "quickstart": "Estimate held-out tasks of a recorded model, in one command.",
    "demo": "Watch a toy server, with traffic and labels, in the console.",
    "report": "The accuracy of every slice of the traffic.",
    "doctor": "Whether traces can be used, and which serving flag is wrong.",
    "fit": "Fit a sentinel on labelled responses.",
    "estimate": "The accuracy of every slice with a saved sentinel.",
    "profile": "Read traces and write their profiles, which other verbs read.",
    "second": "Ask another model a sample of the prompts.",
    "record": "Run a model on a suite of questions and keep its traces.",
    "route": "Which of several models to ask, from how their answers agree.",
    "watch": "The accuracy of every slice over time, with alerts.",
    "canary": "Notice that the model behind an endpoint was changed.",
    "plan": "What to label next, what to acquire, where nobody looked.",
    "decide": "The answer with the best expected score for each prompt.",
    "sampler": "Place the thresholds of the entropy-aware sampler.",
    "tokens": "Answers token by token, shaded by how likely each is right.",
    "proxy": "Capture log-probabilities in front of a model server.",
    "gateway": "One endpoint for several models: routed, in a cascade, by vote.",
    "serve": "Store what captures write, and serve the console.",
    "store": "Look after a store.",
    "status": "Print the open alerts of a store.",
    "ship": "Read traces and put them into the spool of a store.",
    "tail": "Follow log files and put each new line into the spool.",
}
"""What each verb does. It is a function, or a Typer of several, in the module of its name, which nothing but the call
of the verb imports: the help page of all is made of these lines."""

# Typer 0.29 carries its own copy of Click; the class below `Exception` is the usage error's root in both.
_USAGE_ERROR: Any = typer.BadParameter.mro()[-4]
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""No place to write: a broken environment, yet nothing that a traceback explains."""
_USER_ERRORS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class LazyVerbs(TyperGroup):
    """A group that imports a verb only when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every verb that this installation holds, in the order of the help page."""
        return [verb for verb in VERBS if importlib.util.find_spec(f"nilometer.cli.{verb}")]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb]) for verb in self.list_commands(ctx)])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the verb; wrap its function, or take its app of sub-commands as it is."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"nilometer.cli.{cmd_name}")
        verb = getattr(module, cmd_name)
        if isinstance(verb, typer.Typer):
            group = typer.main.get_command(verb)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name, cls=getattr(module, "COMMAND", None))(verb)
        return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyVerbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("nilometer"))
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """How accurate your LLM is on every slice of its traffic, from log-probabilities.

    Exit codes: 0 fine, 1 a bug or a broken environment, 2 a mistake in the input, 3 a gate failed.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    try:
        code = app(args=arguments or ["--help"], prog_name="nilometer", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (_USAGE_ERROR, NilometerError, OSError) as exc:
        typer.echo(f"nilometer: {' '.join(_one_line(exc).split())}", err=True)
        return 1 if getattr(exc, "errno", None) in _FULL else 2
    return code if isinstance(code, int) else 0


def _one_line(exc: Exception) -> str:
    """Say what the user did wrong; an error of the machine goes on as it is."""
    if isinstance(exc, _USAGE_ERROR):
        context = getattr(exc, "ctx", None)
        path = context.command_path if context is not None else "nilometer"
        return f"{exc.format_message().rstrip('.')}. Try `{path} --help`."
    if isinstance(exc, OSError) and not isinstance(exc, NilometerError):
        if not isinstance(exc, _USER_ERRORS) and exc.errno not in _FULL:
            raise exc
        return f"{exc.filename}: {exc.strerror}." if exc.filename else f"{exc.strerror or exc}."
    return str(exc)
