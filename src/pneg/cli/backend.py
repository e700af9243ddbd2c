"""The options that say which language model writes, and how its answers are kept and paid for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pneg.lm import LanguageModel, Recorded

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
        help="Contexts in work at a time.  [default: 8; transformers 32, on a GPU 256]",
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
    concurrency: int | None
    ledger: Path | None

    @classmethod
    def taken(cls, words: dict[str, Any]) -> "Backend":
        """Take the options of a back end out of a command's."""
        return cls(**{name: words.pop(name) for name in cls.__dataclass_fields__})

    @property
    def settings(self) -> dict[str, Any]:
        """What of it changes what is written."""
        return {"lm": self.lm, "model": self.model}

    def language_model(self) -> "LanguageModel":
        """The language model itself."""
        from pneg.lm import Embedded, OpenAICompatible, Transformers

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
        return OpenAICompatible(self.lm, self.model, concurrency=self.concurrency or 8)

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
        return self.lm if self.lm in ("transformers", "embedded") else "completions"
