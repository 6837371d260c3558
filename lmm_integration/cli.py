"""The `mmdp` command. Nothing but typer is imported before a command is chosen."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from lmm_integration.commands.calibrate import calibrate
from lmm_integration.commands.capture import capture
from lmm_integration.commands.check import check
from lmm_integration.commands.conform import conform
from lmm_integration.commands.demo import demo
from lmm_integration.commands.evaluate import evaluate
from lmm_integration.commands.gap import gap
from lmm_integration.commands.instances import instances
from lmm_integration.commands.latency import latency
from lmm_integration.commands.prune import prune
from lmm_integration.commands.solve import solve
from lmm_integration.commands.version import version

UsageError: Any = typer.BadParameter.__base__  # the same class whether typer brings click or imports it
BAD_INPUT, INTERRUPTED = 2, 130


class OneLineErrors(TyperGroup):
    """A group of commands whose errors are one line on stderr: exit code 2 for bad input, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a Ctrl-C that the command itself did not answer is said."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command; without `standalone_mode` exceptions are left to the caller."""
        extra["standalone_mode"] = False
        if not standalone_mode:
            return super().main(*args, **extra)
        try:
            code = super().main(*args, **extra)
        except UsageError as error:
            fail(error.format_message())
        except OSError as error:
            named = error.strerror and error.filename is not None
            fail(f"{error.strerror}: {error.filename}" if named else error)
        except (ValueError, ImportError) as error:
            fail(error)
        except MemoryError as error:
            fail(f"out of memory: {error}", 1)
        sys.exit(code if isinstance(code, int) else 0)


def fail(message: object, code: int = BAD_INPUT) -> None:
    """Say what is wrong in one line, and leave."""
    print("mmdp: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(code)


app = typer.Typer(
    name="mmdp",
    cls=OneLineErrors,
    help="Visual-token pruning as subset selection: choose k tokens, and prove how good the choice is.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


for command in (solve, check, gap, demo, instances, prune, calibrate, latency, capture, conform, evaluate, version):
    app.command()(command)


def main() -> None:
    """Entry point of the `mmdp` script."""
    app(prog_name="mmdp")
