"""`pneg train`."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg import files
from pneg.cli import options
from pneg.errors import DataError

if TYPE_CHECKING:
    from pneg.selector.recipe import Step


@click.command(cls=options.Command)
@click.argument("file", type=options.Read(), metavar="TRAIN")
@click.option(
    "--adversarial",
    type=options.Names(),
    default="prompted",
    show_default=True,
    metavar="SOURCE[,SOURCE]",
    help="Where the five adversarial negatives come from; random takes five more random ones.",
)
@click.option(
    "--negatives",
    type=options.Counts(),
    metavar="SOURCE=N[,SOURCE=N]",
    help="Negatives of each source that a context has, as in random=5,bm25=3, in place of --adversarial and five "
    "random ones.",
)
@click.option(
    "--backbone", default="minilm-l6", show_default=True, metavar="NAME", help="An encoder: name or folder."
)
@click.option(
    "--validation", type=options.Read(), metavar="FILE", help="For the validation loss.  [default: 5% of TRAIN]"
)
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--learning-rate", type=options.Number(0, min_open=True), default=2e-5, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Contexts a step.")
@click.option("--max-length", type=click.IntRange(16), default=128, show_default=True, help="Tokens of a pair.")
@click.option(
    "--architecture",
    type=click.Choice(["cross", "shared"]),
    default="cross",
    show_default=True,
    help="cross reads each pair for itself; shared a context once for all its candidates, some three times faster.",
)
@click.option(
    "--contrast",
    type=options.Number(0, 1),
    default=0.0,
    show_default=True,
    help="Let the positive of this share of the contexts compete in its own context with itself in others, too.",
)
@click.option("--smoothing", type=options.Number(0, 1), default=0.0, show_default=True, help="Of the labels.")
@click.option(
    "--weight", "weights", multiple=True, metavar="SOURCE=X", help="How much its negatives count.  [default: 1]"
)
@click.option(
    "--teacher", type=options.Read(), metavar="SELECTOR", default="", help="Learn its scores instead of the labels."
)
@click.option(
    "--bucket-tokens",
    type=click.IntRange(128),
    default=8192,
    show_default=True,
    help="Go through the model at a time, about: memory and speed.",
)
@click.option("--push", metavar="NAME", help="Send it to this repository of the Hugging Face hub when it is done.")
@click.option("--log", type=options.Kept(), help="Add a JSON object a step to this file.")
@options.precision("auto", "float32", "bfloat16")
@options.seed
@options.limit
@options.skip_bad
@click.option(
    "-o",
    "--out",
    type=options.Kept(folder=True, beside=(".bad",)),
    required=True,
    help="Where the selector is written.",
)
@options.as_json
def train(
    file: str,
    adversarial: tuple[str, ...],
    negatives: dict[str, int] | None,
    validation: str | None,
    weights: tuple[str, ...],
    push: str | None,
    log: Path | None,
    limit: int | None,
    skip_bad: bool,
    out: Path,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Train a selector on TRAIN: 1 positive, 5 random and 5 adversarial negatives a context.

    TRAIN is a file of dialogues in any form that is read. Random negatives are the file's own, or drawn from its
    positives. A training that was stopped goes on from its checkpoint when the same command is given again.
    Several devices, or machines: torchrun --nproc-per-node N -m pneg train ...
    """
    from pneg.errors import needs

    with needs("selector"):
        from pneg.selector import hub
        from pneg.selector.recipe import Recipe
        from pneg.selector.training import train as train_selector

    if push:
        hub.check(push)
    _refuse_shared_pipes([file, *([validation] if validation else [])])
    chosen = Recipe(adversarial=adversarial, negatives=negatives or {}, weights=dict(map(_weight, weights)), **recipe)
    dialogues = options.Input(file, limit, options.aside_of(skip_bad, out))
    try:
        with Bar() as bar, Log(log) as lines:

            def report(step: "Step") -> None:
                bar.step(step)
                lines.step(step)

            selector = train_selector(
                dialogues,
                chosen,
                out,
                validation=options.Input(validation) if validation else None,
                report=report,
            )
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out / 'checkpoint'}, give the same command to go on"
        raise click.ClickException(
            f"stopped; {kept if (out / 'checkpoint').exists() else 'nothing was trained yet'}"
        ) from None
    if int(os.environ.get("RANK", "0")) == 0:
        address = hub.push(out, push) if push else ""
        _report(selector.about, out, dialogues, address, as_json)


def _refuse_shared_pipes(inputs: list[str]) -> None:
    for path in map(Path, inputs):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and files.flows(path):
            raise DataError(
                "it gives its dialogues only once, and each process of the training would get some of them",
                "write them to a file first",
                file=path,
            )


def _report(about: dict[str, Any], out: Path, dialogues: options.Input, address: str, as_json: bool) -> None:
    losses = ", ".join(f"{loss:.4f}" for loss in about["validation_losses"]) or "none"
    text = (
        f"a selector on {about['recipe']['backbone']}, trained on {about['contexts']} contexts -> {out}\n"
        f"validation losses by epoch: {losses}; epoch {about['best_epoch']} kept"
    )
    if short := about["adversarial_filled_up_with_random"]:
        text += f"\n{short} adversarial negatives are missing, random ones were taken in their place"
    if address:
        text += f"\nsent to {address}"
    options.report({"out": str(out), "hub": address or None, **about, **dialogues.summary()}, text, as_json)


def _weight(text: str) -> tuple[str, float]:
    source, _, weight = text.partition("=")
    try:
        return source.strip(), float(weight)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no weight; expected SOURCE=X, such as human=0.5") from None


class Log:
    """A JSON object a step, at the end of a file; nothing where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._stream = None if file is None else file.open("a", encoding="utf-8")

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def step(self, step: "Step") -> None:
        """Write a step."""
        if self._stream is not None:
            found = {name: value for name, value in asdict(step).items() if value not in (None, "")}
            self._stream.write(json.dumps({"time": round(time.time(), 3), **found}) + "\n")
            self._stream.flush()


class Bar:
    """A bar over the contexts of one training after another, drawn when the first step is known."""

    def __init__(self) -> None:
        self._shown: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.close()
            self._shown = None

    def step(self, step: "Step") -> None:
        """Show a step."""
        if self._shown is None:
            self._shown = options.progress(None, step.of, "step")
        if step.warning:
            self._shown.write(f"warning: {step.warning}", file=sys.stderr)
        self._shown.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
        self._shown.update(step.number - self._shown.n)
        if step.number == step.of:
            self.__exit__()
