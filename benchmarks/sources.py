"""What the sources of negatives give: length, word overlap with the context, similarity, share missing, and samples.

Random, BM25 and semi-hard are made here. Files with negatives of other sources may be given: each of their rows is of
the contexts that the file has, and says of how many.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

import common
from pneg import corpora
from pneg.dialogue import Dialogue, normalised
from pneg.negatives import BM25, NegativeSource, Random, SemiHard
from pneg.negatives.embeddings import Embeddings

COUNT = 5
Found = list[tuple[str, ...] | None]
"""A source's negatives for each context; None where it was not asked."""


def main() -> None:
    """Make, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="the same dialogues with negatives of other sources")
    parser.add_argument("--limit", type=int, help="contexts; negatives are drawn from all")
    parser.add_argument("--samples", type=int, default=10, help="contexts to show (default: %(default)s)")
    parser.add_argument("--data", metavar="FILE", help="dialogues, in any form that pneg reads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", default="", metavar="SOURCE[,SOURCE]", help="leave these out")
    parser.add_argument("--threads", type=int, help="that PyTorch computes with")
    options = parser.parse_args()
    common.quiet()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    every = common.dialogues(options.data, "data_positives.json")
    chosen = every[: options.limit]
    embeddings = Embeddings()
    negatives: dict[str, Found] = {"positives": [item.positives for item in chosen]}
    for source in _sources(every, embeddings, options.seed, options.without.split(",")):
        negatives[source.name] = list(source.propose(chosen, COUNT))
        print(f"{source.name}: {dict(source.counts)}")
    for file in options.files:
        negatives |= _read(file, chosen)
    _table(chosen, negatives, embeddings)
    shared = [number for number in range(len(chosen)) if None not in [found[number] for found in negatives.values()]]
    for number in common.sample(shared, options.samples) if shared else ():
        print()
        print(*_shown(chosen[number], {name: found[number] or () for name, found in negatives.items()}), sep="\n")


def _sources(
    every: list[Dialogue], embeddings: Embeddings, seed: int, without: list[str]
) -> Iterator[NegativeSource]:
    if "random" not in without:
        yield Random(every, seed)
    if "bm25" not in without:
        yield BM25(every)
    if "semi-hard" not in without:
        yield SemiHard(every, embeddings=embeddings)


def _read(file: str, chosen: list[Dialogue]) -> dict[str, Found]:
    """The negatives in a file, by source; None for a dialogue that it lacks."""
    by_id = {item.id: item for item in corpora.read(file)}
    names = dict.fromkeys(name for item in by_id.values() for name in item.negatives)
    held = [by_id.get(item.id) for item in chosen]
    return {
        name: [None if item is None else tuple(item.negatives.get(name, ())[:COUNT]) for item in held]
        for name in names
    }


def _table(chosen: list[Dialogue], negatives: Mapping[str, Found], embeddings: Embeddings) -> None:
    first = embeddings.of([item.positives[0] for item in chosen])
    contexts = [set(_words(" ".join(item.context))) for item in chosen]
    rows = [["", "contexts", "words", "overlap", "to the first positive", "to the context", "missing"]]
    asked = embeddings.of([" ".join(item.context) for item in chosen])
    for name, found in negatives.items():
        asked_for = sum(responses is not None for responses in found)
        texts = [text for responses in found for text in responses or ()]
        owners = np.repeat(np.arange(len(found)), [len(responses or ()) for responses in found])
        if not texts:
            continue
        overlaps = [_overlap(text, contexts[owner]) for text, owner in zip(texts, owners, strict=True)]
        vectors = embeddings.of(texts)
        similar = (vectors * first[owners]).sum(1)
        if name == "positives":  # the first is not compared with itself
            similar = similar[
                [
                    normalised(text) != normalised(chosen[n].positives[0])
                    for text, n in zip(texts, owners, strict=True)
                ]
            ]
        missing = 1 - len(texts) / (COUNT * asked_for)
        rows.append(
            [
                name,
                f"{asked_for:,}",
                f"{np.mean([len(text.split()) for text in texts]):.1f}",
                f"{np.mean(overlaps):.3f}",
                f"{similar.mean():.3f}",
                f"{(vectors * asked[owners]).sum(1).mean():.3f}",
                "" if name == "positives" else f"{missing:.2%}",
            ]
        )
    common.show(
        rows,
        "Contexts: that the source was asked for. Words: mean length, split at spaces. Overlap: the share of a "
        "response's distinct words (lower case, no punctuation at their ends) that the context has. Similarity: "
        f"cosine of minilm-l6 embeddings ({embeddings.precision}) with the first positive and with the context. "
        f"Missing: of {COUNT} a context; mask-and-fill fills up what it misses with random responses.",
        "sentence-transformers", "bm25s",
    )  # fmt: skip


def _words(text: str) -> list[str]:
    return [word for raw in text.lower().split() if (word := raw.strip(".,;:!?\"'()-\u2026"))]


def _overlap(text: str, context: set[str]) -> float:
    words = set(_words(text))
    return len(words & context) / max(1, len(words))


def _shown(dialogue: Dialogue, negatives: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield from (f"{'AB'[place % 2]}: {turn}" for place, turn in enumerate(dialogue.context))
    for name, responses in negatives.items():
        yield f"  {name}"
        yield from (f"    - {text}" for text in responses)


if __name__ == "__main__":
    main()
