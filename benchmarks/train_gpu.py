"""Training of a large backbone on a GPU: real tokens and contexts a second, beside a plain loop.

mpnet-base, 1 positive and 10 random negatives a context, 16 contexts a step, 128 tokens a pair. The plain loop pads
each step to its longest pair, takes the contexts in random order, computes in bfloat16 by autocast with PyTorch's own
attention, and reads the loss after each step. `--limit 48 --backbone minilm-l6 --epochs 1` shows that it runs.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import common
from pneg import models
from pneg.devices import best_device
from pneg.dialogue import Dialogue
from pneg.selector.candidates import EACH, RANDOM, Candidates
from pneg.selector.model import Selector
from pneg.selector.packing import Packer
from pneg.selector.recipe import Recipe, Step
from pneg.selector.steps import Texts
from pneg.selector.training import train

RECIPE = Recipe(adversarial=(RANDOM,), held_out=0.0)


@dataclass(frozen=True)
class Round:
    """What a contender did: contexts a second between its first and its last steps, and seconds from start to end."""

    rate: float
    seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=7641, help="contexts (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of pneg (default: %(default)s)")
    parser.add_argument("--plain", type=int, default=1600, help="contexts of the plain loop (default: %(default)s)")
    parser.add_argument("--backbone", default="mpnet-base", help="default: %(default)s")
    parser.add_argument("--bucket-tokens", type=int, default=32768, help="of pneg (default: %(default)s)")
    parser.add_argument("--data", metavar="FILE", help="dialogues with positives (default: all of DailyDialog++)")
    options = parser.parse_args()
    common.quiet()
    device = best_device()
    chosen = common.dialogues(options.data, "data_positives.json")[: options.limit]
    selector = Selector.create(options.backbone, device="cpu")
    weights = sum(
        value.numel() for name, value in selector.model.named_parameters() if ".layer." in name and value.dim() == 2
    )
    tokens, shared = _tokens(selector, chosen)
    peak = common.matmul_rate("bfloat16", device)
    recipe = replace(RECIPE, backbone=options.backbone, epochs=options.epochs, bucket_tokens=options.bucket_tokens)
    _pneg(chosen[:64], replace(recipe, epochs=1))
    found = {
        "pneg": (_pneg(chosen, recipe), tokens),
        "pneg, shared context": (_pneg(chosen, replace(recipe, architecture="shared")), shared),
        "plain loop": (_plain(chosen[: options.plain], options.backbone, device), tokens),
    }
    plain = found["plain loop"][0].rate
    rows = [["", "contexts/s", "real tokens/s", "of the plain loop", "of the limit", "seconds in all"]]
    for name, (round_, each) in found.items():
        limit = peak / (6 * weights * each)
        rows.append(
            [
                name,
                f"{round_.rate:,.1f}",
                f"{round_.rate * each:,.0f}",
                f"{round_.rate / plain:.2f}x",
                f"{round_.rate / limit:.1%}",
                f"{round_.seconds:.1f}",
            ]
        )
    common.show(
        rows,
        f"{options.backbone}: {len(chosen)} contexts with {1 + 2 * EACH} candidates ({tokens:.0f} real tokens a "
        f"context, {shared:.0f} where it is shared), {options.epochs} epochs; the plain loop "
        f"{min(len(chosen), options.plain)} contexts once. A second: from the end of the first step to that of the "
        "last but one. In all: loading, tokenising and saving too. Limit: the device's matrix product in bfloat16, "
        f"{peak / 1e12:.1f} TFLOP/s, for 6 x {weights / 1e6:.1f} million weights x real tokens.",
        "torch",
        "transformers",
    )


def _tokens(selector: Selector, chosen: list[Dialogue]) -> tuple[float, float]:
    """Real tokens of a context with its candidates, read in pairs and shared."""
    drawn = Candidates.of(chosen, (RANDOM,), RECIPE.history)
    texts = Texts.of(drawn, selector)
    numbers = _numbers(drawn, range(len(texts.contexts))).reshape(-1, drawn.composition.size, 2)
    cross, shared = (
        Texts(Packer(selector.pairs, architecture), texts.contexts, texts.responses).sizes(numbers).mean()
        for architecture in ("cross", "shared")
    )
    return float(cross), float(shared)


def _numbers(drawn: Candidates, groups: Iterable[int]) -> npt.NDArray[np.int64]:
    """The pairs of groups: the number of the context and that of the response."""
    return np.array([(group, number) for group in groups for number in drawn.draw(group, 0, 0)])


def _pneg(chosen: list[Dialogue], recipe: Recipe) -> Round:
    ends: list[float] = []

    def report(_: Step) -> None:
        ends.append(time.perf_counter())

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(chosen, recipe, Path(folder) / "selector", report=report)
    return Round(_rate(ends), time.perf_counter() - started)


def _rate(ends: list[float]) -> float:
    return RECIPE.batch * (len(ends) - 2) / (ends[-2] - ends[0])


def _plain(chosen: list[Dialogue], backbone: str, device: str) -> Round:
    """What one writes first: transformers, padding, a step at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    started = time.perf_counter()
    folder = models.local_folder(backbone)
    tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RECIPE.learning_rate)
    drawn = Candidates.of(chosen, (RANDOM,), RECIPE.history)
    order = np.random.default_rng(0).permutation(len(drawn.groups))
    between, ends = f" {tokenizer.sep_token} ", []
    for step in np.split(order, range(RECIPE.batch, len(order), RECIPE.batch)):
        pairs = _numbers(drawn, step.tolist())
        contexts = [between.join(drawn.groups[group].context) for group in pairs[:, 0]]
        responses = [drawn.responses[number] for number in pairs[:, 1]]
        inputs = tokenizer(
            contexts, responses, truncation=True, max_length=RECIPE.max_length, padding=True, return_tensors="pt"
        ).to(device)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            scores = model(**inputs).logits.view(len(step), drawn.composition.size)
        loss = torch.nn.functional.cross_entropy(scores.float(), torch.zeros(len(step), dtype=torch.long).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        ends.append(time.perf_counter())
    return Round(_rate(ends), time.perf_counter() - started)


if __name__ == "__main__":
    main()
