"""Fitting a causal language model with tokens of its own to prompts and answers, once, kept in the cache."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pneg import cache, models
from pneg.errors import DataError, needs
from pneg.lm import causal
from pneg.lm.causal import Causal, Part, Prompt

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

POOL = 16
"""Batches that are sorted by length together, then shuffled."""
UNLEARNED = -100
"""PyTorch's label of a token that no loss is taken of."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer to be written behind it."""

    prompt: Prompt
    answer: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model is fitted.

    Attributes:
        examples: drawn from all there are; 0 takes all.
        learning_rate: AdamW's, reached after `warmup` and then falling to 0 in a straight line.
        epochs: passes over the examples.
        batch: examples a step.
        max_length: tokens of prompt and answer.
        warmup: share of the steps in which the learning rate rises.
        held_out: examples that the answer's loss is measured on, at most a tenth of all.
        checks: how often an epoch it is measured; the weights with the lowest are kept.
        seed: of the draw of the examples and their order.
    """

    examples: int = 0
    learning_rate: float = 5e-5
    epochs: int = 1
    batch: int = 64
    max_length: int = 256
    warmup: float = 0.05
    held_out: int = 256
    checks: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What is reported before the first step (number 0), and after each.

    Attributes:
        number: of the step.
        of: steps in all.
        loss: of the batch; of all learned tokens.
        held_out: the answer's loss on the examples held out, where it was measured here.
    """

    number: int
    of: int
    loss: float | None = None
    held_out: float | None = None


Report = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A model to be fitted, or taken from the cache where one like it was.

    Attributes:
        purpose: begins the name of its folder in the cache.
        base: the model to begin from, as for `pneg.models.causal_folder`.
        tokens: to be added, each with words that describe it.
        fit: how.
        data: digest of all that the examples are made from.
        examples: makes them; called only where the model is not there yet.
    """

    purpose: str
    base: str
    tokens: Mapping[str, str]
    fit: Fit
    data: str
    examples: Callable[[], Iterable[Example]]

    @property
    def name(self) -> str:
        """The folder in the cache: the same for the same base, tokens, settings and data."""
        told = {"base": self.base, "tokens": dict(self.tokens), "fit": asdict(self.fit), "data": self.data}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return f"fitted/{self.purpose}-{digest[:16]}"

    def folder(self, device: str, report: Report = lambda _: None, again: bool = False) -> Path:
        """The fitted model's folder; it is fitted now where it is not there, or where `again` asks for it.

        Raises:
            DataError: when there are no examples.
            ModelError: when the base cannot be loaded.
        """
        if again:
            shutil.rmtree(cache.folder() / self.name, ignore_errors=True)

        def make(made: Path) -> None:
            with needs("generated"):
                import torch
            from pneg.devices import best_precision

            precision = best_precision(torch.device(device))
            lm = causal.load(self.base, device, "float32", fixed=False)
            causal.add_tokens(lm, self.tokens)
            losses = fit(lm, chosen(self.examples(), self.fit), self.fit, precision, report)
            _save(lm, made, precision)
            told = {"base": self.base, **asdict(self.fit), "held_out_losses": losses}
            (made / "fit.json").write_text(json.dumps(told), encoding="utf-8")

        return cache.stored(self.name, make)


def chosen(examples: Iterable[Example], settings: Fit) -> list[Example]:
    """The examples to be learned from, in a drawn order; every one of a longer row is as likely (algorithm R)."""
    generator = random.Random(f"{settings.seed}/examples")
    kept: list[Example] = []
    for number, example in enumerate(examples):
        if not settings.examples or len(kept) < settings.examples:
            kept.append(example)
        elif (place := generator.randrange(number + 1)) < settings.examples:
            kept[place] = example
    generator.shuffle(kept)
    return kept


def fit(lm: Causal, examples: Sequence[Example], settings: Fit, precision: str, report: Report) -> list[float]:
    """Fit a model and leave it with the weights whose answers' loss on the examples held out was lowest.

    The loss is the mean over the answers' tokens plus the mean over the other learned tokens.

    Args:
        lm: in float32, its tokens added; changed in place.
        examples: in any order; some are held out.
        settings: how.
        precision: in which matrices are multiplied.
        report: told of each step.

    Returns:
        The answers' losses on the examples held out: before the first step, and at each check.

    Raises:
        DataError: when there are fewer than two examples.
    """
    import torch

    if len(examples) < 2:
        raise DataError(f"{len(examples)} examples to fit a model to", "expected two at least: give a larger corpus")
    rows = _rows(lm, examples, settings.max_length)
    aside = max(1, min(settings.held_out, len(rows) // 10))
    held, rows = rows[:aside], rows[aside:]
    steps_an_epoch = -(-len(rows) // settings.batch)
    steps = steps_an_epoch * settings.epochs
    every = max(1, steps_an_epoch // settings.checks)
    optimiser = torch.optim.AdamW(lm.model.parameters(), lr=settings.learning_rate, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(steps, settings.warmup))
    losses = [_held_out(lm, held, settings.batch, precision)]
    best: dict[str, Any] = {}
    report(Step(0, steps, held_out=losses[0]))
    torch.manual_seed(settings.seed)
    for number, batch in enumerate(_batches(rows, settings), start=1):
        lm.model.train()
        with _computing(lm, precision):
            answer, other = _losses(lm, batch)
        loss = answer + other
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad(set_to_none=True)
        measured = None
        if number == steps or (number % every == 0 and steps - number >= every // 2):
            measured = _held_out(lm, held, settings.batch, precision)
            if measured <= min(losses[1:], default=measured):
                best = {name: value.detach().cpu().clone() for name, value in lm.model.state_dict().items()}
            losses.append(measured)
        report(Step(number, steps, loss.item(), measured))
    if best and losses[-1] > min(losses[1:]):
        lm.model.load_state_dict(best)
    lm.model.eval()
    return losses


@dataclass(frozen=True, slots=True)
class _Row:
    """An example in token numbers; labels are `UNLEARNED` where nothing is learned, `answer` begins the answer."""

    tokens: list[int]
    labels: list[int]
    answer: int


def _rows(lm: Causal, examples: Sequence[Example], max_length: int) -> list[_Row]:
    found = []
    for some in _runs(examples, 4096):
        prompts = [(*example.prompt, Part(example.answer)) for example in some]
        ends = lm.encode([prompt[-1:] for prompt in prompts], max_length)
        for (tokens, learned), (answer, _) in zip(lm.encode(prompts, max_length), ends, strict=True):
            labels = [token if known else UNLEARNED for token, known in zip(tokens, learned, strict=True)]
            start = len(tokens) - len(answer)
            found.append(_Row(tokens[:max_length], labels[:max_length], start))
    return found


def _batches(rows: list[_Row], settings: Fit) -> Iterator[list[_Row]]:
    for epoch in range(settings.epochs):
        generator = random.Random(f"{settings.seed}/order/{epoch}")
        order = generator.sample(rows, len(rows))
        for pool in _runs(order, settings.batch * POOL):
            by_length = sorted(pool, key=lambda row: len(row.tokens))
            batches = [list(batch) for batch in _runs(by_length, settings.batch)]
            generator.shuffle(batches)
            yield from batches


def _losses(lm: Causal, rows: Sequence[_Row]) -> "tuple[torch.Tensor, torch.Tensor]":
    """The mean losses of the answers' tokens and of the other learned tokens; logits are made of these alone."""
    import torch

    longest = max(len(row.tokens) for row in rows)
    tokens = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), UNLEARNED)
    mask = torch.zeros_like(tokens)
    in_answer = torch.zeros_like(tokens, dtype=torch.bool)
    for number, row in enumerate(rows):
        length = len(row.tokens)
        tokens[number, :length] = torch.tensor(row.tokens)
        labels[number, :length] = torch.tensor(row.labels)
        mask[number, :length] = 1
        in_answer[number, row.answer : length] = True
    tokens, labels, mask, in_answer = (of.to(lm.device) for of in (tokens, labels, mask, in_answer))
    hidden = lm.model.base_model(input_ids=tokens, attention_mask=mask).last_hidden_state[:, :-1]
    labels, in_answer = labels[:, 1:], in_answer[:, 1:]
    learned = labels != UNLEARNED
    logits = lm.model.get_output_embeddings()(hidden[learned])
    losses = torch.nn.functional.cross_entropy(logits.float(), labels[learned], reduction="none")
    of_answer = in_answer[learned].float()
    answer = (losses * of_answer).sum() / of_answer.sum().clamp(min=1)
    other = (losses * (1 - of_answer)).sum() / (1 - of_answer).sum().clamp(min=1)
    return answer, other


def _held_out(lm: Causal, rows: list[_Row], batch: int, precision: str) -> float:
    import torch

    lm.model.eval()
    total, tokens = 0.0, 0
    with torch.inference_mode(), _computing(lm, precision):
        for some in _runs(sorted(rows, key=lambda row: len(row.tokens)), batch):
            weight = sum(len(row.tokens) - row.answer for row in some)
            total += float(_losses(lm, some)[0]) * weight
            tokens += weight
    return total / max(1, tokens)


def _computing(lm: Causal, precision: str) -> Any:
    import torch

    low = precision == "bfloat16"
    if low and lm.device.type == "cpu":
        lm.model.set_attn_implementation("eager")
    return torch.autocast(lm.device.type, dtype=torch.bfloat16, enabled=low)


def _runs(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _schedule(steps: int, warmup: float) -> Callable[[int], float]:
    rising = max(1, round(steps * warmup))
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))


def _save(lm: Causal, folder: Path, precision: str) -> None:
    with needs("transformers"):
        import torch

    with models.quiet():
        lm.model.to(getattr(torch, precision)).save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
