"""The options that say which language model writes, and how its answers are kept and paid for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pneg.lm import LanguageModel, Recorded

MOST = 64
"""Requests at a time to a server, at most."""
OPTIONS = (
    click.option(
        "--lm",
        default="transformers",
        show_default=True,
        metavar="URL",
        help="An OpenAI-compatible server, as in http://localhost:8000/v1; or `transformers`, a model inside this "
        "process, on a GPU if there is one; or `embedded`, llama.cpp on the processor.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        help="The model as the server calls it; a hub name or a folder for transformers, a GGUF file for embedded.  "
        "[default: smollm2-135m]",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1),
        help="Contexts in work at a time; with a server at most.  [default: 64; embedded 8, transformers "
        "32, on a GPU 256]",
    ),
    click.option(
        "--endpoint",
        type=click.Choice(["completions", "chat"]),
        default="completions",
        show_default=True,
        help="What the server is asked for; chat is for a model that has no completions.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds a server may take to answer a request.",
    ),
    click.option(
        "--patience",
        type=click.FloatRange(0),
        default=300.0,
        show_default=True,
        help="Seconds a server may fail, without any answer, until the job stops.",
    ),
    click.option(
        "--ledger",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Where every answer is kept, so that none is asked for twice; several jobs may share it.  "
        "[default: OUT.ledger.sqlite]",
    ),
)


def backend_options(command: Any) -> Any:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Backend:
    """What the options say; see their help."""

    lm: str
    model: str | None
    endpoint: str
    concurrency: int | None
    timeout: float
    patience: float
    ledger: Path | None

    @classmethod
    def taken(cls, words: dict[str, Any]) -> "Backend":
        """Take the options of a back end out of a command's."""
        return cls(**{name: words.pop(name) for name in cls.__dataclass_fields__})

    @property
    def settings(self) -> dict[str, Any]:
        """What of it changes what is written."""
        from pneg.lm.client import public

        told = {"lm": public(self.lm) if "://" in self.lm else self.lm, "model": self.model}
        return told if self.endpoint == "completions" else {**told, "endpoint": self.endpoint}

    def language_model(self) -> "LanguageModel":
        """The language model itself."""
        from pneg.lm import Embedded, OpenAICompatible, Paced, Policy, Transformers

        if self.lm == "transformers":
            return Transformers(self.model or "smollm2-135m", self.concurrency or 0)
        if self.lm == "embedded":
            return Embedded(self.model or "smollm2-135m", self.concurrency or 8)
        if not self.lm.startswith(("http://", "https://")):
            raise click.UsageError(
                f"--lm {self.lm} is neither transformers nor embedded nor an address like http://..."
            )
        if self.model is None:
            raise click.UsageError("--lm needs --model NAME, the model as the server calls it")
        client = OpenAICompatible(
            self.lm,
            self.model,
            concurrency=self.concurrency or MOST,
            timeout=self.timeout,
            endpoint="chat" if self.endpoint == "chat" else "completions",
        )
        return Paced(client, Policy(patience=self.patience))

    @contextmanager
    def opened(self, lm: "LanguageModel", out: Path, settings: Mapping[str, Any]) -> "Iterator[Recorded]":
        """The language model with its ledger, for a job that writes `out`."""
        from pneg.lm import Ledger, Recorded, Run

        path = self.ledger or out.with_name(out.name + ".ledger.sqlite")
        with Ledger(path, Run(settings)) as ledger:
            yield Recorded(lm, ledger, self.form)

    @property
    def form(self) -> str:
        """What makes the answers differ from those of the same model elsewhere."""
        return self.lm if self.lm in ("transformers", "embedded") else self.endpoint
