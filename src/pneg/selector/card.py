"""The model card of a selector, written from what happened."""

from collections.abc import Mapping
from typing import Any

from pneg.selector.candidates import Composition
from pneg.selector.settings import Settings

KINDS = {
    "cross": ("a cross-encoder", "`transformers` and `sentence_transformers.CrossEncoder` give the same scores."),
    "shared": (
        "an encoder that reads a context once for all its candidates",
        "Only `pneg` gives these scores: a candidate has its own first token behind the context, and sees no other "
        "candidate.",
    ),
}
"""What an architecture is called, and what reads it."""
TAGS = {"cross": "cross-encoder", "shared": "shared-context"}


def model_card(about: Mapping[str, Any]) -> str:
    """A model card in Markdown.

    Args:
        about: as `Selector.about` after training.
    """
    recipe = about["recipe"]
    negatives, size = _negatives(recipe)
    losses = ", ".join(f"{loss:.4f}" for loss in about["validation_losses"]) or "not measured"
    base, rate = recipe["backbone"], recipe["learning_rate"]
    kind, reads = KINDS[recipe["architecture"]]
    short = about["adversarial_filled_up_with_random"]
    return f"""---
library_name: transformers
pipeline_tag: text-ranking
tags: [response-selection, {TAGS[recipe["architecture"]]}, pneg]
---

# A response selector on `{base}`

Scores how well a response fits a dialogue context: {kind} with one output, higher fits better.

| | |
|---|---|
| trained on | {about["contexts"]} contexts, 1 positive and {size - 1} negatives each |
| negatives | {negatives} ({short} missing, random ones in their place) |
| objective | softmax cross-entropy over the {size} candidates{_target(recipe)} |
| optimiser | Adam, {rate:g}, warm-up {recipe["warmup"]:g}, linear decay, {recipe["batch"]} contexts a step |
| epochs | {recipe["epochs"]}, weights of epoch {about["best_epoch"]} kept |
| validation losses | {losses} ({about["validation_contexts"]} contexts) |
| seed, precision, device | {recipe["seed"]}, {about["precision"]}, {about["device"]} |

The input: the persona's sentences, if any, and the last {recipe["history"]} turns, joined by the separator token, are
the first text, the candidate is the second; {recipe["max_length"]} tokens at most. {reads}

```python
import pneg

selector = pneg.Selector.load("this/folder")
selector.rank(["Are you hungry?", "A little."], ["Let's eat then.", "I am full."])
```

A selector can learn the style of the negatives it was trained on instead of the context. Look at the scores with the
context hidden (`pneg evaluate` prints them) before you believe a figure.
"""


def _negatives(recipe: Mapping[str, Any]) -> tuple[str, int]:
    """What the negatives of a context are, in words, and how many candidates it has."""
    composition = Composition.of(recipe["adversarial"], recipe.get("negatives", {}))
    shares = [f"{share.count} {' or '.join(share.sources)}" for share in composition.shares]
    random = [f"{composition.random} random"] if composition.random else []
    return ", ".join(random + shares), composition.size


def _target(recipe: Mapping[str, Any]) -> str:
    told = []
    if contrast := recipe.get("contrast"):
        told.append(
            f"the positive of {contrast:.0%} of the contexts also competes in its own context with itself in others"
        )
    if recipe["teacher"]:
        told.append("the target is another selector's scores")
    if recipe["smoothing"]:
        told.append(f"labels smoothed by {recipe['smoothing']:g}")
    told += [f"negatives of {source} count {weight:g}" for source, weight in recipe["weights"].items()]
    return "".join(f"; {part}" for part in told)


def exported_card(settings: Settings) -> str:
    """A model card in Markdown of an exported selector.

    Args:
        settings: as in its `selector.json`.
    """
    export, recipe = settings.export or {}, settings.about.get("recipe", {})
    calibration = settings.calibration
    rows = [
        ("precision", export["precision"]),
        *([("8-bit ranges from", export["ranges"])] if "ranges" in export else []),
        (
            "backbone, trained on",
            f"{recipe.get('backbone', 'not said')}, {settings.about.get('contexts', 'no')} contexts",
        ),
        ("temperature", f"{calibration['temperature']:.3f}" if calibration else "not calibrated"),
        *((f"pairs/s, {name}", f"{rate:,.0f}") for name, rate in export.get("pairs_per_second", {}).items()),
    ]
    if "score_difference" in export:
        difference = export["score_difference"]
        rows.append(
            ("difference of a score, mean and largest", f"{difference['mean']:.4f}, {difference['largest']:.4f}")
        )
        rows.append(("the same candidate first", f"{export['same_first']:.1%} of {export['questions']} questions"))
    for name, scores in export.get("sets", {}).items():
        found = ", ".join(f"{kind} {score['r@1']:.3f} / {score['mrr']:.3f}" for kind, score in scores.items())
        rows.append((f"R@1 / MRR, {name} set", found))
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""---
library_name: onnx
pipeline_tag: text-ranking
tags: [response-selection, {TAGS[settings.architecture]}, pneg, onnxruntime]
---

# A response selector, exported

Scores how well a response fits a dialogue context: {KINDS[settings.architecture][0]}, higher fits better. It needs
`pip install "pneg[onnx]"`, no torch.

| | |
|---|---|
{lines}

The differences are to the selector it was exported from, in float32.

```python
from pneg.selector import ranking

selector = ranking.load("this/folder")
selector.rank(["Are you hungry?", "A little."], ["Let's eat then.", "I am full."])
```
"""
