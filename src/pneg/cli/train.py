"""`pneg train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options

if TYPE_CHECKING:
    from pneg.selector.training import Step


@click.command()
@click.argument("file", metavar="TRAIN")
@click.option(
    "--adversarial",
    default="prompted",
    show_default=True,
    metavar="SOURCE[,SOURCE]",
    help="Where the five adversarial negatives come from; random takes five more random ones.",
)
@click.option(
    "--backbone", default="minilm-l6", show_default=True, metavar="NAME", help="An encoder: name or folder."
)
@click.option("--validation", metavar="FILE", help="For the validation loss.  [default: 5% of TRAIN]")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=2e-5, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Contexts a step.")
@click.option("--max-length", type=click.IntRange(16), default=128, show_default=True, help="Tokens of a pair.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@options.seed
@options.limit
@options.skip_bad
@options.out
@options.as_json
def train(
    file: str,
    adversarial: str,
    backbone: str,
    validation: str | None,
    epochs: int,
    learning_rate: float,
    batch: int,
    max_length: int,
    precision: str,
    seed: int,
    limit: int | None,
    skip_bad: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Train a selector on TRAIN: 1 positive, 5 random and 5 adversarial negatives a context.

    TRAIN is a file of dialogues in any form that is read. Random negatives are the file's own, or drawn from its
    positives. A training that was stopped goes on from its checkpoint when the same command is given again.
    """
    from pneg.errors import needs

    with needs("selector"):
        from pneg.selector.training import Recipe
        from pneg.selector.training import train as train_selector

    recipe = Recipe(
        adversarial=tuple(source.strip() for source in adversarial.split(",")),
        backbone=backbone,
        seed=seed,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        max_length=max_length,
        precision=precision,
    )
    dialogues = options.Input(file, limit, options.aside_of(skip_bad, out))
    try:
        with Bar() as bar:
            selector = train_selector(
                dialogues,
                recipe,
                out,
                validation=options.Input(validation) if validation else None,
                report=bar.step,
            )
    except KeyboardInterrupt:
        kept = f"the checkpoint is in {out / 'checkpoint'}, give the same command to go on"
        raise click.ClickException(
            f"stopped; {kept if (out / 'checkpoint').exists() else 'nothing was trained yet'}"
        ) from None
    about = selector.about
    found = {"out": str(out), **about, **dialogues.summary()}
    losses = ", ".join(f"{loss:.4f}" for loss in about["validation_losses"]) or "none"
    text = (
        f"a selector on {backbone}, trained on {about['contexts']} contexts -> {out}\n"
        f"validation losses by epoch: {losses}; epoch {about['best_epoch']} kept"
    )
    if short := about["adversarial_filled_up_with_random"]:
        text += f"\n{short} adversarial negatives are missing, random ones were taken in their place"
    options.report(found, text, as_json)


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
        self._shown.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
        self._shown.update(step.number - self._shown.n)
        if step.number == step.of:
            self.__exit__()
