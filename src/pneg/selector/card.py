"""The model card of a selector, written from what happened."""

from collections.abc import Mapping
from typing import Any


def model_card(about: Mapping[str, Any]) -> str:
    """A model card in Markdown.

    Args:
        about: as `Selector.about` after training.
    """
    recipe = about["recipe"]
    sources = ", ".join(recipe["adversarial"])
    losses = ", ".join(f"{loss:.4f}" for loss in about["validation_losses"]) or "not measured"
    base, rate = recipe["backbone"], recipe["learning_rate"]
    short = about["adversarial_filled_up_with_random"]
    return f"""---
library_name: transformers
pipeline_tag: text-ranking
tags: [response-selection, cross-encoder, pneg]
---

# A response selector on `{base}`

Scores how well a response fits a dialogue context: a cross-encoder with one output, higher fits better.

| | |
|---|---|
| trained on | {about["contexts"]} contexts, 1 positive, 5 random and 5 adversarial negatives each |
| adversarial negatives | {sources} ({short} missing, random ones in their place) |
| objective | softmax cross-entropy over the 11 candidates |
| optimiser | Adam, {rate:g}, warm-up {recipe["warmup"]:g}, linear decay, {recipe["batch"]} contexts a step |
| epochs | {recipe["epochs"]}, weights of epoch {about["best_epoch"]} kept |
| validation losses | {losses} ({about["validation_contexts"]} contexts) |
| seed, precision, device | {recipe["seed"]}, {about["precision"]}, {about["device"]} |

The input: the persona's sentences, if any, and the last {recipe["history"]} turns, joined by the separator token, are
the first text, the candidate is the second; {recipe["max_length"]} tokens at most.

```python
import pneg

selector = pneg.Selector.load("this/folder")
selector.rank(["Are you hungry?", "A little."], ["Let's eat then.", "I am full."])
```

A selector can learn the style of the negatives it was trained on instead of the context. Look at the scores with the
context hidden (`pneg evaluate` prints them) before you believe a figure.
"""
