"""`pneg calibrate`."""

from pathlib import Path

import click

from pneg.cli import options


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.argument("file", type=options.Read(sets_aside=True), metavar="DEV")
@click.option(
    "--sets",
    type=options.Names(),
    default="random,human",
    show_default=True,
    metavar="SOURCE[,SOURCE]",
    help="Negatives to rank against.",
)
@options.limit
@options.skip_bad
@options.as_json
def calibrate(
    selector: Path, file: str, sets: tuple[str, ...], limit: int | None, skip_bad: bool, as_json: bool
) -> None:
    """Fit the temperature of SELECTOR on DEV, so that `pneg rank` gives probabilities.

    A probability is that of a candidate to be the one that fits, among candidates like those of DEV, one of which
    fits. It is written to selector.json; an export takes it over.
    """
    from pneg.selector import ranking, settings
    from pneg.selector.calibration import calibrate as calibrate_selector

    dev = options.Input(file, limit, options.aside_here(file) if skip_bad else None)
    loaded = ranking.load(selector)
    found = calibrate_selector(loaded, dev, sets).as_json()
    settings.write_calibration(selector, {**found, "file": Path(file).name})
    text = (
        f"temperature {found['temperature']:.3f}, fitted on {found['n']} queries -> {selector / settings.MARK}\n"
        f"expected calibration error {found['ece_before']:.4f} -> {found['ece']:.4f}\n"
        f"loss {found['loss_before']:.4f} -> {found['loss']:.4f}"
    )
    options.report({**found, **dev.summary()}, text, as_json)
