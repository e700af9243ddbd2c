"""Contexts a second of mask-and-fill and key-sem, their fit and their generation apart, beside plain `generate`.

The fit is timed on a few examples and given in examples a second; what writes is fitted by default, now or, where the
cache has it, before. The peer is `generate` of transformers on the fitted model, on the same prompts in the order
given, without sorting; each row stops at its last end token.
"""

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import common
from pneg.dialogue import Dialogue
from pneg.lm import causal
from pneg.lm.finetune import chosen, fit
from pneg.lm.sampling import Asked, Drawing, sample
from pneg.negatives import KeySem, MaskAndFill
from pneg.negatives.key_sem import source as key_sem
from pneg.negatives.mask_and_fill import infill
from pneg.negatives.written import Device

CONTEXTS = 7641
COUNT = 5


@dataclass(frozen=True)
class Round:
    """What a contender did in a round: units and seconds."""

    units: int
    seconds: float


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=8, rounds=3)
    parser.add_argument("--fit-examples", type=int, default=64, help="examples a timed fit (default: %(default)s)")
    parser.add_argument("--versions", type=int, default=32, help="of mask-and-fill (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=5, help="of mask-and-fill (default: %(default)s)")
    options = parser.parse_args()
    common.quiet()
    pool = common.dialogues(options.data, "data_positives.json")
    picked = common.sample(pool, options.limit * options.rounds)
    share = len(picked) // options.rounds
    parts = [picked[number * share : (number + 1) * share] for number in range(options.rounds)]
    device = Device.best()
    sources: dict[str, Any] = {
        "mask-and-fill": MaskAndFill(pool, versions=options.versions, samples=options.samples, device=device),
        "key-sem": KeySem(pool, device=device),
    }
    contenders: dict[str, Any] = {}
    for name, source in sources.items():
        list(source.propose(pool[:1], COUNT))
        asked = [_asked(name, source, part) for part in parts]
        drawn = (1.0, 0.95, 1, 64) if name == "mask-and-fill" else (0.9, 0.9, 5, 40)
        how = Drawing(_end(name), *drawn, rows=device.rows)
        contenders[f"{name}: fit, examples/s"] = lambda _, source=source: _fit(source, options.fit_examples)
        contenders[f"{name}: contexts/s"] = lambda n, source=source: _propose(source, parts[n])
        contenders[f"{name}: sampling alone, texts/s"] = lambda n, s=source, a=asked, h=how: _sample(s, a[n], h)
        contenders[f"{name}: generate, texts/s"] = lambda n, s=source, a=asked, h=how: _generate(s, a[n], h)
    found = common.interleaved(contenders, options.rounds)
    rows = [["", "a second", "lowest-highest", f"{CONTEXTS:,} contexts"]]
    for name, values in found.items():
        rates = [value.units / value.seconds for value in values]
        whole = f"{CONTEXTS / median(rates) / 60:.1f} min" if name.endswith("contexts/s") else ""
        rows.append([name, f"{median(rates):.2f}", common.spread(rates), whole])
    common.show(
        rows,
        f"On {device.name} in {device.precision}, {share} other contexts in each of {options.rounds} interleaved "
        f"rounds, medians; {COUNT} responses; "
        f"mask-and-fill with {options.versions} versions and {options.samples} samples, "
        "key-sem with its defaults. Loading and calibration are not timed. Sampling alone and generate: the first "
        f"{COUNT} prompts of each context, a text each. What writes is fitted to "
        f"{sources['key-sem'].writer.job.fit.examples:,} examples; the timed fit is of {options.fit_examples}.",
        "torch",
        "transformers",
    )


def _end(name: str) -> str:
    return infill.END if name == "mask-and-fill" else key_sem.END


def _asked(name: str, source: Any, part: list[Dialogue]) -> list[Asked]:
    if name == "key-sem":
        works = [source._plan(number, dialogue) for number, dialogue in enumerate(part)]
        return [source._asked(work) for work in works for _ in range(COUNT)]
    works = source._plans(list(enumerate(part)))
    tasks = [task.asked for work in works for task in work.tasks[:COUNT]]
    return [Asked(each.prompt, each.seeds[:1], each.ends) for each in tasks]


def _fit(source: Any, number: int) -> Round:
    job = source.writer.job
    settings = replace(job.fit, examples=number)
    lm = causal.load(job.base, source.writer.device.name, "float32", fixed=False)
    causal.add_tokens(lm, job.tokens)
    examples = chosen(job.examples(), settings)
    started = time.perf_counter()
    fit(lm, examples, settings, source.writer.device.precision, lambda _: None)
    return Round(len(examples), time.perf_counter() - started)


def _propose(source: Any, part: list[Dialogue]) -> Round:
    started = time.perf_counter()
    return Round(len(list(source.propose(part, COUNT))), time.perf_counter() - started)


def _sample(source: Any, asked: list[Asked], how: Drawing) -> Round:
    started = time.perf_counter()
    return Round(len(sample(source.writer.lm, asked, how)), time.perf_counter() - started)


def _generate(source: Any, asked: list[Asked], how: Drawing) -> Round:
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    lm, rows = source.writer.lm, source.writer.device.rows
    end, pad = lm.number(how.end), lm.tokenizer.eos_token_id

    class Ended(StoppingCriteria):
        def __init__(self, ends: list[int], start: int) -> None:
            self.ends, self.start = torch.tensor(ends, device=lm.device), start

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            return (input_ids[:, self.start :] == end).sum(1) >= self.ends

    prompts = [tokens for tokens, _ in lm.encode([each.prompt for each in asked], how.max_length)]
    started = time.perf_counter()
    for place in range(0, len(asked), rows):
        batch = prompts[place : place + rows]
        longest = max(map(len, batch))
        tokens = torch.tensor([[pad] * (longest - len(row)) + row for row in batch], device=lm.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch], device=lm.device)
        stop = Ended([each.ends for each in asked[place : place + rows]], longest)
        with torch.inference_mode():
            lm.model.generate(
                input_ids=tokens, attention_mask=mask, do_sample=True, temperature=how.temperature, top_p=how.top_p,
                top_k=0, max_new_tokens=how.max_tokens, pad_token_id=pad,
                stopping_criteria=StoppingCriteriaList([stop]),
            )  # fmt: skip
    return Round(len(asked), time.perf_counter() - started)


if __name__ == "__main__":
    main()
