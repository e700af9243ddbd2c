"""`pneg show`."""

from collections import Counter
from typing import Any

import click

from pneg.cli import options
from pneg.dialogue import Dialogue


@click.command(cls=options.Command)
@click.argument("file", type=options.Read(sets_aside=True))
@click.option("--dialogues", type=click.IntRange(0), default=3, show_default=True, help="How many to print in full.")
@options.limit
@options.skip_bad
@options.as_json
def show(file: str, dialogues: int, limit: int | None, skip_bad: bool, as_json: bool) -> None:
    """Print counts, lengths and a few dialogues of FILE.

    FILE is a file of dialogues in any form that is read, or a corpus such as starter:test.
    """
    source = options.Input(file, limit, options.aside_here(file) if skip_bad else None)
    counts: Counter[str] = Counter()
    words: Counter[str] = Counter()
    first: list[Dialogue] = []
    for dialogue in source:
        counts["dialogues"] += 1
        counts["with a persona"] += bool(dialogue.persona)
        if len(first) < dialogues:
            first.append(dialogue)
        for name, texts in _parts(dialogue):
            counts[name] += len(texts)
            words[name] += sum(len(text.split()) for text in texts)
    parts = {name: counts[name] for name in counts if name in words}
    found: dict[str, Any] = {
        "dialogues": counts["dialogues"],
        "with_persona": counts["with a persona"],
        "texts": {
            name: {
                "n": n,
                "a_dialogue": round(n / max(1, counts["dialogues"]), 2),
                "mean_words": round(words[name] / max(1, n), 2),
            }
            for name, n in parts.items()
        },
        **source.summary(),
    }
    rows = [["", "texts", "a dialogue", "mean words"]]
    rows += [
        [name, str(of["n"]), str(of["a_dialogue"]), str(of["mean_words"])] for name, of in found["texts"].items()
    ]
    text = f"{found['dialogues']} dialogues, {found['with_persona']} with a persona\n\n{options.table(rows)}"
    options.report(found, "\n\n".join([text, *map(_drawn, first)]), as_json)


def _parts(dialogue: Dialogue) -> list[tuple[str, tuple[str, ...]]]:
    negatives = [(f"negatives: {name}", texts) for name, texts in dialogue.negatives.items()]
    return [("turns", dialogue.context), ("positives", dialogue.positives), *negatives]


def _drawn(dialogue: Dialogue) -> str:
    lines = [dialogue.id, *(f"  ({sentence})" for sentence in dialogue.persona)]
    lines += [f"  {'AB'[place % 2]}: {turn}" for place, turn in enumerate(dialogue.context)]
    lines += [f"    + {text}" for text in dialogue.positives]
    for name, texts in dialogue.negatives.items():
        lines += [f"    - {text}  [{name}]" for text in texts]
    return "\n".join(lines)
