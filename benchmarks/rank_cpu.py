"""Ranking pairs a second on the processor, beside sentence-transformers.

minilm-l6, 6 candidates a context (1 positive, 5 adversarial negatives): all pairs in one call, and a call a context.
The peer reads the folder that `Selector.save` wrote, so that the scores must agree; `--selector` takes one that was
trained. The exports are those of `pneg export`. A selector that shares the context has scores of its own, compared
with those that it has in torch in float32.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import common
from pneg import corpora
from pneg.dialogue import Dialogue
from pneg.selector import export
from pneg.selector.candidates import EACH
from pneg.selector.exported import ExportedSelector
from pneg.selector.measured import questions
from pneg.selector.model import Selector
from pneg.selector.ranking import Scorer, turns_read

BACKBONE = "minilm-l6"
SHARED = "pneg, shared, float32"
WEIGHTS = 10.6e6
"""Of the encoder's layers; the embeddings are looked up, not multiplied."""
Scores = np.ndarray


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=100, rounds=5)
    parser.add_argument("--selector", metavar="DIR", help="a trained one (default: a fresh head on minilm-l6)")
    parser.add_argument(
        "--shared", metavar="DIR", help="a trained one that shares the context (default: a fresh head)"
    )
    options = parser.parse_args()
    common.quiet()
    every = [
        item
        for item in common.dialogues(options.data, "test.json")
        if item.positives and len(item.negatives.get("human", ())) >= EACH
    ]
    chosen = common.sample(every, options.limit)
    with tempfile.TemporaryDirectory() as folder:
        made = Selector.load(options.selector, "cpu") if options.selector else Selector.create(BACKBONE, device="cpu")
        made.save(folder)
        ours = Selector.load(folder, device="cpu")
        shared = (
            Selector.load(options.shared, "cpu")
            if options.shared
            else Selector.create(BACKBONE, device="cpu", architecture="shared")
        )
        demonstrations = questions(corpora.read("starter:demonstrations"), ours.history)
        examples = [(turns, text) for turns, texts in demonstrations for text in texts]
        exports: dict[str, Scorer] = {SHARED: shared}
        for kind, selector in (("pneg export", ours), ("pneg export, shared", shared)):
            for precision in ("float32", "int8"):
                name = f"{kind}, {precision}"
                export.write(selector, Path(folder) / name, precision, examples)
                exports[name] = ExportedSelector.load(Path(folder) / name)
        whole, single = _scorers(ours, exports, folder, chosen)
        scores = {name: score() for name, score in {**whole, **single}.items()}
        timed = {name: _rate(score) for name, score in {**whole, **single}.items()}
        found = common.interleaved({**timed, **common.limits()}, options.rounds)

    tokens = _tokens(ours, chosen)
    reference = scores["one call: sentence-transformers, float32"]
    rows = [["", "pairs/s", "lowest-highest", "of the peer's float32", "max |score - float32 in torch|"]]
    for name, values in found.items():
        measured = name in timed
        rates = values if measured else [value / (2 * WEIGHTS * tokens) for value in values]
        kind = "a call a context" if name in single else "one call"
        peer = median(found[f"{kind}: sentence-transformers, float32"])
        own = scores[f"one call: {SHARED}"] if "shared" in name else reference
        differs = f"{np.abs(scores[name] - own).max():.1e}" if measured else ""
        rows.append(
            [
                name,
                f"{median(rates):,.0f}",
                common.spread(rates),
                f"{median(rates) / peer:.2f}x",
                differs,
            ]
        )
    common.show(
        rows,
        f"{len(chosen)} contexts with {1 + EACH} candidates ({tokens:.0f} real tokens a pair), from texts to scores, "
        f"median of {options.rounds} interleaved rounds behind an untimed one. Limit: what the machine's matrix "
        "product would allow, 2 x 10.6 million weights x real tokens a pair. The scores are those of "
        f"{'a trained selector' if options.selector else 'a fresh head'}, their standard deviation "
        f"{reference.std():.3f}.",
        "torch",
        "transformers",
        "sentence-transformers",
        "onnxruntime",
    )


def _scorers(
    ours: Selector, exports: dict[str, Scorer], folder: str, chosen: list[Dialogue]
) -> tuple[dict[str, Callable[[], Scores]], dict[str, Callable[[], Scores]]]:
    """What scores all pairs, in the order of the contexts and candidates: in one call, and a call a context."""
    import torch
    from sentence_transformers import CrossEncoder

    groups = [(turns_read(item.context, item.persona, ours.history), _candidates(item)) for item in chosen]
    pairs = [(turns, text) for turns, texts in groups for text in texts]
    texts = [(ours.pairs.join(turns), text) for turns, text in pairs]
    peer = CrossEncoder(folder, device="cpu")
    low = {
        precision: CrossEncoder(folder, device="cpu", model_kwargs={"dtype": getattr(torch, precision)})
        for precision in common.precisions()[1:]
    }

    def ranked(scorer: Scorer) -> Scores:
        scores = np.zeros(len(pairs), dtype=np.float32)
        for place, (turns, candidates) in enumerate(groups):
            for found in scorer.rank(turns, candidates):
                scores[place * (1 + EACH) + found.index] = found.score
        return scores

    def peer_ranked() -> Scores:
        scores = np.zeros(len(pairs), dtype=np.float32)
        for place, (turns, candidates) in enumerate(groups):
            for found in peer.rank(ours.pairs.join(turns), candidates, show_progress_bar=False):
                scores[place * (1 + EACH) + found["corpus_id"]] = found["score"]
        return scores

    whole = {
        "one call: pneg, float32": lambda: ours.score(pairs),
        "one call: sentence-transformers, float32": lambda: peer.predict(texts, show_progress_bar=False),
    }
    for precision, lower in low.items():
        whole[f"one call: pneg, {precision}"] = lambda precision=precision: ours.score(pairs, precision=precision)
        whole[f"one call: sentence-transformers, {precision}"] = lambda lower=lower: lower.predict(
            texts, show_progress_bar=False
        )
    single = {
        "a call a context: pneg, float32": lambda: ranked(ours),
        "a call a context: sentence-transformers, float32": peer_ranked,
    }
    for name, scorer in exports.items():
        whole[f"one call: {name}"] = lambda scorer=scorer: scorer.score(pairs)
        single[f"a call a context: {name}"] = lambda scorer=scorer: ranked(scorer)
    return whole, single


def _candidates(dialogue: Dialogue) -> list[str]:
    return [dialogue.positives[0], *dialogue.negatives["human"][:EACH]]


def _rate(score: Callable[[], Scores]) -> Callable[[int], float]:
    """Measures pairs a second of a round."""

    def measured(_: int) -> float:
        started = time.perf_counter()
        pairs = len(score())
        return pairs / (time.perf_counter() - started)

    return measured


def _tokens(selector: Selector, chosen: list[Dialogue]) -> float:
    """Real tokens a pair, the mean."""
    pairs, found = selector.pairs, []
    for item in chosen:
        [context] = pairs.encode([pairs.join(turns_read(item.context, item.persona, selector.history))]).lengths
        own = pairs.encode(_candidates(item)).lengths
        found.append(selector.packer.sizes(np.full_like(own, context), own))
    return float(np.concatenate(found).mean())


if __name__ == "__main__":
    main()
