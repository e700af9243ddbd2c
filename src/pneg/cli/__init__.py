"""The command line: one file a command, each loaded only when it is named."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from pneg import __version__ as pneg_version
from pneg import files
from pneg.cli.terminal import shown
from pneg.errors import DataError, PnegError

COMMANDS = (
    "demo", "fetch", "show", "negatives", "attack", "ledger", "audit", "train", "evaluate", "calibrate", "export",
    "rank", "serve",
)  # fmt: skip
INTERRUPTED = 130
"""The exit status of what Ctrl-C ended, as shells have it."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"pneg.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(pneg_version)
def pneg() -> None:
    """Robust dialogue response selectors.

    Writes adversarial negative responses with a language model, trains selectors on them, and measures what
    they bought. Start with: pneg demo
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 the job failed, 2 the words or the input are wrong."""
    words = sys.argv[1:] if words is None else words
    with shown():
        return _run(words)


def _run(words: Sequence[str]) -> int:
    try:
        _check_words(words)
        pneg.main(words, prog_name="pneg", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PnegError as error:
        return _say(str(error), error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return _say("stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _say("there is not enough memory; what is done is kept: give the same command to go on", 1)
    except OSError as error:
        remedy = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}{remedy}", 1)
    finally:
        files.forget()
    return 0


def _check_words(words: Sequence[str]) -> None:
    """Refuse bytes that are no text: no tokenizer, ledger or JSON could hold them, and no report could name them."""
    for word in words:
        if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
            raise DataError(f"the word {word!a} on the command line is no UTF-8 text", "rename it, or encode it")


def _say(message: str, status: int) -> int:
    click.echo(f"pneg: {message}", err=True)
    return status
