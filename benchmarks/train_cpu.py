"""Training contexts a second on the processor, beside sentence-transformers.

minilm-l6, 1 positive and 10 negatives a context, 16 contexts a batch, 128 tokens a pair, one process. Both train one
epoch on the same contexts with the same candidates; what differs are their defaults: the order of the contexts, the
pairs that go through the model at a time, attention dropout, the optimiser.
"""

import tempfile
import time
from statistics import median

import numpy as np

import common
from pneg import models
from pneg.dialogue import Dialogue, normalised
from pneg.selector.candidates import EACH, Candidates
from pneg.selector.model import SLACK, Selector
from pneg.selector.packing import Architecture, Packer
from pneg.selector.ranking import turns_read
from pneg.selector.recipe import Recipe, Step
from pneg.selector.steps import Texts
from pneg.selector.training import train

BACKBONE = "minilm-l6"
WEIGHTS = 10.6e6
"""Of the encoder's layers; the embeddings are looked up, not multiplied."""
RECIPE = Recipe()
PEERS_BATCH = 16
"""Pairs that the peer pads to one length."""


def main() -> None:
    """Measure and print."""
    options = common.arguments(__doc__, limit=96, rounds=3).parse_args()
    common.quiet()
    every = [fixed for item in common.dialogues(options.data, "dev.json") if (fixed := _fixed(item))]
    chosen = common.sample(every, options.limit)
    contenders = {
        "pneg, default precision": lambda _: _pneg(chosen, RECIPE.precision),
        "pneg, float32": lambda _: _pneg(chosen, "float32"),
        "pneg, shared context": lambda _: _pneg(chosen, RECIPE.precision, "shared"),
        "sentence-transformers, default (float32)": lambda _: _peer(chosen, bf16=False),
    }
    if "bfloat16" in common.precisions():
        contenders["sentence-transformers, bf16=True"] = lambda _: _peer(chosen, bf16=True)
    for precision in (RECIPE.precision, "float32"):
        _pneg(chosen[: 3 * RECIPE.batch], precision)
    _pneg(chosen[: 3 * RECIPE.batch], RECIPE.precision, "shared")
    for bf16 in (False, True)[: len(common.precisions())]:
        _peer(chosen[: 3 * RECIPE.batch], bf16)
    found = common.interleaved({**contenders, **common.limits()}, options.rounds)

    padding, each = _tokens(chosen)
    tokens, shared = (total / len(chosen) for total in each)
    peer = median(found["sentence-transformers, default (float32)"])
    rows = [["", "contexts/s", "lowest-highest", "of the peer's default", "GFLOP/s"]]
    for name, values in found.items():
        rates = values if name in contenders else [value / (6 * WEIGHTS * tokens) for value in values]
        rate = median(rates)
        rows.append(
            [
                name,
                f"{rate:.2f}",
                common.spread(rates),
                f"{rate / peer:.2f}x",
                f"{rate * 6 * WEIGHTS * tokens / 1e9:.0f}",
            ]
        )
    common.show(
        rows,
        f"One epoch of {len(chosen)} contexts with {1 + 2 * EACH} candidates ({tokens:.0f} real tokens a context), "
        f"median of {options.rounds} interleaved rounds behind an untimed step of each, each timed from the end of "
        "its first step to that of the last but one. "
        "GFLOP/s: 6 x 10.6 million weights x real tokens of pairs, which a shared context needs fewer of "
        f"({shared:.0f}). Limit: what the machine's matrix product would allow for pairs. Padding: none; on a GPU "
        f"attention alone sees some, {padding[0]:.1%} of its places; {padding[1]:.1%} of tokens in random order.",
        "torch",
        "transformers",
        "sentence-transformers",
    )


def _fixed(dialogue: Dialogue) -> Dialogue | None:
    """The dialogue with one positive and ten different negatives, so that nothing is left to draw."""
    positives = dialogue.positives[:1]
    negatives = {
        source: dialogue.negatives[source][:EACH] for source in ("random", "human") if source in dialogue.negatives
    }
    texts = [*positives, *(text for of in negatives.values() for text in of)]
    if len({normalised(text) for text in texts}) < 1 + 2 * EACH:
        return None
    return Dialogue(dialogue.id, dialogue.context, positives, negatives, dialogue.persona)


def _pneg(chosen: list[Dialogue], precision: str, architecture: Architecture = "cross") -> float:
    """Contexts a second of an epoch."""
    recipe = Recipe(
        adversarial=("human",),
        backbone=BACKBONE,
        architecture=architecture,
        epochs=1,
        held_out=0.0,
        precision=precision,
    )
    ends: list[float] = []

    def report(_: Step) -> None:
        ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(chosen, recipe, folder, device="cpu", report=report)
    return _rate(ends)


def _rate(ends: list[float]) -> float:
    """Contexts a second between the end of the first step and that of the last but one.

    What comes before is loading, what comes after saving.
    """
    return RECIPE.batch * (len(ends) - 2) / (ends[-2] - ends[0])


def _peer(chosen: list[Dialogue], bf16: bool) -> float:
    """Contexts a second of an epoch."""
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListNetLoss
    from transformers import PrinterCallback, TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: object, **__: object) -> None:
            self.ends.append(time.perf_counter())

    model = CrossEncoder(str(models.local_folder(BACKBONE)), num_labels=1, max_length=RECIPE.max_length, device="cpu")
    model.tokenizer.truncation_side = "left"
    between = f" {model.tokenizer.sep_token} "
    data = Dataset.from_dict(
        {
            "query": [between.join(turns_read(item.context, item.persona, RECIPE.history)) for item in chosen],
            "docs": [[*item.positives, *item.negatives["random"], *item.negatives["human"]] for item in chosen],
            "labels": [[1] + [0] * 2 * EACH for _ in chosen],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = CrossEncoderTrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=RECIPE.batch,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        clock = Clock()
        trainer = CrossEncoderTrainer(
            model=model, args=settings, train_dataset=data, loss=ListNetLoss(model), callbacks=[clock]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return _rate(clock.ends)


def _tokens(chosen: list[Dialogue]) -> tuple[tuple[float, float], tuple[int, int]]:
    """The share of padding in a GPU's attention and in random order; the real tokens of pairs and shared contexts."""
    selector = Selector.create(BACKBONE, max_length=RECIPE.max_length, device="cpu")
    drawn = Candidates.of(chosen, ("human",), RECIPE.history)
    texts = Texts.of(drawn, selector)
    groups = len(texts.contexts)
    numbers = np.array([(group, number) for group in range(groups) for number in drawn.draw(group, 0, 0)])
    context, response = texts.contexts.lengths[numbers[:, 0]], texts.responses.lengths[numbers[:, 1]]
    totals = []
    for architecture in ("cross", "shared"):
        packer = Packer(selector.pairs, architecture)
        each = int(packer.sizes(context, response).sum())
        totals.append(each + int(packer.context_size(texts.contexts.lengths).sum()))
    step = RECIPE.batch * drawn.composition.size
    blocks = [
        Packer(selector.pairs, "cross", SLACK).pack(texts.contexts, texts.responses, numbers[start : start + step])
        for start in range(0, len(numbers), step)
    ]
    empty = sum(packed.padding * len(packed.input_ids) for packed in blocks)
    sizes = np.random.default_rng(0).permutation(Packer(selector.pairs, "cross").sizes(context, response))
    batches = np.split(sizes, range(PEERS_BATCH, len(sizes), PEERS_BATCH))
    padded = sum(int(batch.max()) * len(batch) for batch in batches)
    return (empty / sum(len(packed.input_ids) for packed in blocks), 1 - totals[0] / padded), (totals[0], totals[1])


if __name__ == "__main__":
    main()
