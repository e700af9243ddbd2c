"""`pneg audit`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options
from pneg.errors import DataError

if TYPE_CHECKING:
    from pneg.audit import Audit, SourceAudit
    from pneg.audit.cues import Cue

SHOWN = 3
"""Likely false negatives that are printed for each source."""


@click.command(cls=options.Command)
@click.argument("file", type=options.Read(sets_aside=True))
@click.option(
    "--sets",
    type=options.Names(),
    default=None,
    metavar="SOURCE[,SOURCE]",
    help="The sources of negatives to audit.  [default: all in FILE]",
)
@click.option("--selector", type=options.Read(Path), metavar="DIR", help="A selector to look at, too.")
@click.option(
    "--reference",
    metavar="NAME",
    help="An encoder, such as minilm-l6, whose cosine similarity finds likely false negatives.  [default: the "
    "selector, where one is given]",
)
@click.option(
    "--fit",
    type=options.Read(),
    metavar="FILE",
    help="Dialogues that a second probe is fitted to; the first is cross-fitted on FILE.",
)
@click.option(
    "--examples",
    type=options.Read(),
    metavar="FILE",
    default="starter:demonstrations",
    show_default=True,
    help="Demonstrations whose copies are counted.",
)
@click.option(
    "--false-negatives",
    type=options.Written((".jsonl",)),
    metavar="FILE",
    help="Write all likely false negatives to FILE, as JSON lines.",
)
@options.written("-o", "--out", endings=(".html",), help="Write a page to this file, such as report.html.")
@options.precision("float32", "bfloat16")
@options.seed
@options.limit
@options.skip_bad
@options.as_json
def audit(
    file: str,
    sets: tuple[str, ...] | None,
    selector: Path | None,
    reference: str | None,
    fit: str | None,
    examples: str,
    false_negatives: Path | None,
    out: Path | None,
    precision: str,
    seed: int,
    limit: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Find what gives the negatives of FILE away to a model that does not read the context.

    For each source of negatives: how far style, length and shared words alone rank the positive first; which words
    tell; how much the negatives repeat each other; and a sentence of verdict. With --selector also what the selector
    still knows when the context is hidden or replaced, and which negatives may fit after all.
    """
    if false_negatives and not (selector or reference):
        raise DataError(
            "--false-negatives needs scores", "give --selector DIR or --reference NAME, such as minilm-l6"
        )
    from pneg import corpora
    from pneg.audit import audit as audit_dialogues
    from pneg.audit import false_negatives as suspects
    from pneg.selector import ranking

    dialogues = options.Input(file, limit, options.aside_here(file) if skip_bad else None)
    result = audit_dialogues(
        dialogues,
        sets=sets or (),
        selector=ranking.load(selector) if selector else None,
        reference=suspects.similarity(reference) if reference else None,
        fit=corpora.read(fit) if fit else (),
        examples=corpora.read(examples),
        precision=precision,
        seed=seed,
    )
    if false_negatives:
        suspects.write(false_negatives, [each for source in result.sources for each in source.suspects or ()])
    if out:
        _write_page(out, result, file)
    written = {"report": out, "false_negatives_file": false_negatives}
    paths = {name: str(path) for name, path in written.items() if path}
    options.report({**result.as_json(), **paths, **dialogues.summary()}, _text(result, paths), as_json)


def _write_page(out: Path, result: "Audit", file: str) -> None:
    from pneg.files import replacing
    from pneg.web.audit import page

    text = page(result, Path(file).name)
    with replacing(out) as stream:
        stream.write(text.encode())


def _text(result: "Audit", paths: dict[str, str]) -> str:
    rows = [["", "contexts", "negatives", "chance", "style", "95%", "length", "overlap", "self-BLEU", "faults"]]
    read = any(source.reading for source in result.sources)
    if read:
        rows[0] += ["shown", "hidden", "other"]
    for source in result.sources:
        rows.append([*_figures(source), *(_read(source) if read else [])])
    parts = [options.table(rows), *(_about(source) for source in result.sources)]
    if result.notes:
        parts.append("\n".join(f"note: {note}" for note in result.notes))
    if paths:
        names = {"report": "the page", "false_negatives_file": "likely false negatives"}
        parts.append("\n".join(f"{names[name]}: {path}" for name, path in paths.items()))
    return "\n\n".join(parts)


def _figures(source: "SourceAudit") -> list[str]:
    low, high = source.style.figures.interval if source.style else (0.0, 0.0)
    bleu = source.diversity.self_bleu
    return [
        source.name,
        f"{source.contexts:,}",
        f"{source.negatives:,}",
        f"{source.chance:.3f}",
        _cue(source.style),
        f"{low:.3f}-{high:.3f}" if source.style else "-",
        _cue(source.length),
        _cue(source.overlap),
        "-" if bleu is None else f"{bleu:.1f}",
        f"{sum(source.faults.values()):,}",
    ]


def _cue(cue: "Cue | None") -> str:
    if cue is None:
        return "-"
    rule = "" if cue.name == "style" else f"{cue.rule} "
    return f"{rule}{cue.figures.recall_at_1:.3f}"


def _read(source: "SourceAudit") -> list[str]:
    reading = source.reading
    parts: tuple[Any, ...] = (reading.shown, reading.hidden, reading.other) if reading else (None,) * 3
    return [f"{part.recall_at_1:.3f}" if part else "-" for part in parts]


def _about(source: "SourceAudit") -> str:
    return "\n  ".join([f"{source.name}: {source.verdict}", *_lines(source)])


def _lines(source: "SourceAudit") -> Iterator[str]:
    if source.fitted_elsewhere:
        figures = source.fitted_elsewhere.figures
        low, high = figures.interval
        yield f"style, fitted to the other file: R@1 {figures.recall_at_1:.3f} ({low:.3f}-{high:.3f})"
    for side, telling in (("negatives", 1), ("positives", -1)):
        words = [word for word in source.giveaways if (word.negatives - word.positives) * telling > 0][:6]
        if words:
            told = ", ".join(f"{word.word} ({word.negatives:.0%} / {word.positives:.0%})" for word in words)
            yield f"more often in {side} (share of negatives / positives): {told}"
    if source.suspects is not None:
        yield f"likely false negatives: {len(source.suspects)}"
        for suspect in source.suspects[:SHOWN]:
            yield f"  {suspect.margin:+.2f}  {suspect.context[-1]}  ->  {suspect.negative}  (not: {suspect.positive})"
    yield from (f"note: {note}" for note in source.notes)
