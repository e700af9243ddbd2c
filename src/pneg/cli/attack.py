"""`pneg attack`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options
from pneg.dialogue import Dialogue, write
from pneg.errors import DataError, MissingExtra, ModelError

if TYPE_CHECKING:
    from pneg.attack.rule import Material, Rule


@click.command(cls=options.Command)
@click.argument("source", type=options.Read(), metavar="IN")
@options.out
@click.option(
    "--rules", type=options.Names(), metavar="NAME[,NAME]", help="Make these sets.  [default: every rule's]"
)
@click.option(
    "--pool",
    type=options.Read(),
    multiple=True,
    metavar="FILE",
    help="Take human responses and whole dialogues from this file; may be given several times.  [default: IN]",
)
@click.option(
    "--encoder",
    default="minilm-l6",
    show_default=True,
    metavar="NAME",
    help="Name or folder of the encoder that retrieved-dense searches with.",
)
@options.count
@options.seed
@options.limit
@options.skip_bad
@options.as_json
def attack(
    source: str,
    out: Path,
    rules: tuple[str, ...] | None,
    pool: tuple[str, ...],
    encoder: str,
    count: int,
    seed: int,
    limit: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Make harder test sets of the dialogues in IN, one set a rule.

    IN is a file of dialogues in any form that is read, or a corpus such as starter:test. OUT holds the same dialogues
    with a set of negatives under each rule's name; pneg evaluate prints a selector's profile on them. A dialogue that
    a rule cannot be applied to is counted, with the reason.
    """
    from pneg.attack.catalogue import RULES
    from pneg.attack.rule import Material

    if unknown := [name for name in rules or () if name not in RULES]:
        raise click.UsageError(f"--rules {', '.join(unknown)}: there is no such rule; there are {', '.join(RULES)}")
    given = options.Input(source, limit, options.aside_of(skip_bad, out))
    dialogues = list(given)
    _check(dialogues, source)
    material = Material(_pool(pool, skip_bad, out) or dialogues, seed, encoder)
    made = _made(rules, material)
    tally: dict[str, dict[str, int]] = {rule.name: {"dialogues": 0, "negatives": 0} for rule in made}
    attacked = _attacked(made, dialogues, count)
    n = write(out, _counted(options.bar(attacked, len(dialogues), "dialogue"), tally))
    found = {
        "out": str(out),
        "dialogues": n,
        "rules": {
            rule.name: {**tally[rule.name], "left_out": dict(rule.left_out), "counts": dict(rule.counts)}
            for rule in made
        },
        **given.summary(),
    }
    options.report(found, f"{n} dialogues -> {out}\n\n{_table(found['rules'])}", as_json)


def _check(dialogues: Sequence[Dialogue], source: str) -> None:
    if not dialogues:
        raise DataError("it holds no dialogue", "there is nothing to make a test set of", file=source)
    if not any(dialogue.positives for dialogue in dialogues):
        raise DataError(
            "no dialogue has a positive", "a test set needs responses that fit, to be ranked first", file=source
        )


def _pool(files: Iterable[str], skip_bad: bool, out: Path) -> list[Dialogue]:
    """The dialogues of all pool files; bad lines go to a file of their own beside OUT."""
    pool: list[Dialogue] = []
    for number, file in enumerate(files):
        aside = options.aside_of(skip_bad, options.beside(out, f".pool{number or ''}"))
        before = len(pool)
        pool += options.Input(file, None, aside)
        if len(pool) == before:
            raise DataError("it holds no dialogue", "there is nothing to take responses from", file=file)
    return pool


def _made(rules: Sequence[str] | None, material: "Material") -> "list[Rule]":
    """The rules that were asked for; without being asked, none whose encoder or extra is not there."""
    from pneg.attack.catalogue import RULES, make

    if rules is not None:
        return [make(name, material) for name in rules]
    made = []
    for name in RULES:
        try:
            made.append(make(name, material))
        except (MissingExtra, ModelError) as error:
            click.echo(f"pneg: note: {name} is left out: {error}", err=True)
    if not made:
        raise DataError("no rule can be applied with what is installed", 'run: pip install "pneg[retrieval]"')
    return made


def _attacked(rules: "Sequence[Rule]", dialogues: Iterable[Dialogue], count: int) -> Iterable[Dialogue]:
    from pneg.negatives.base import add

    for rule in rules:
        dialogues = add(rule, dialogues, count)
    return dialogues


def _counted(dialogues: Iterable[Dialogue], tally: dict[str, dict[str, int]]) -> Iterator[Dialogue]:
    for dialogue in dialogues:
        for name, numbers in tally.items():
            numbers["dialogues"] += bool(dialogue.negatives[name])
            numbers["negatives"] += len(dialogue.negatives[name])
        yield dialogue


def _table(rules: dict[str, dict[str, Any]]) -> str:
    """What each rule made, and below it the dialogues it left out, the most frequent reason first."""
    rows = [["set", "dialogues", "negatives", "left out"]]
    reasons = []
    for name, of in rules.items():
        rows.append([name, str(of["dialogues"]), str(of["negatives"]), str(sum(of["left_out"].values()))])
        by_number = sorted(of["left_out"].items(), key=lambda item: -item[1])
        reasons += [f"{name}: {n} left out: {reason}" for reason, n in by_number]
    return "\n\n".join(part for part in (options.table(rows), "\n".join(reasons)) if part)
