"""`key-sem`: responses written from keywords of the context, for another context (Gupta et al. 2021)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random as Generator

from pneg.dialogue import Dialogue
from pneg.lm import causal
from pneg.lm.base import Completion
from pneg.lm.causal import Causal, Part, Prompt
from pneg.lm.finetune import Example, Fit, Job, Report
from pneg.lm.sampling import Asked, Drawing
from pneg.negatives.base import TOO_FEW, Refusals, draws
from pneg.negatives.key_sem.keyphrases import EXTRACTORS, Extract, keywords
from pneg.negatives.key_sem.near_words import NearWords
from pneg.negatives.written import Device, Writer, digest, in_order
from pneg.negatives.wrong_context import TAG, WrongContexts, script

KEYWORDS, RESPOND, END = "<|keywords|>", "<|respond|>", "<|said|>"
TOKENS = {KEYWORDS: " Keywords:", RESPOND: " Dialogue:\n", END: "\n"}
"""The tokens that begin and end the keywords and end the reply, and the words whose embeddings they begin with."""
LAST_IN_TRAINING, LAST = 4, 3
"""Turns of the context that are read."""
MOST_IN_TRAINING, MOST = 10, 20
"""Keyphrases of a response, and of a context."""
REPLACED = 0.3
EMPTY, TAGGED = "empty", "speaker's tag"
EXAMPLES = "key-sem 1"
"""Changes with how examples are made, so that no model fitted to others is taken for one fitted to these."""


def prompt(phrases: Sequence[str], context: Sequence[str], last: int) -> Prompt:
    """Keywords, then the last turns; a model learns to write the keywords, not the turns."""
    return (
        Part(KEYWORDS, learned=False),
        Part(f" {', '.join(phrases)}{RESPOND}"),
        Part(f"{script(context, last)}", learned=False, shortened=True),
    )


def examples(dialogues: Iterable[Dialogue], extract: Extract) -> Iterator[Example]:
    """Every positive with its own keyphrases in its own context."""
    for dialogue in dialogues:
        for response in dialogue.positives:
            phrases = keywords(response, MOST_IN_TRAINING, extract)
            yield Example(prompt(phrases, dialogue.context, LAST_IN_TRAINING), f" {' '.join(response.split())}{END}")


def draw_keywords(phrases: Sequence[str], near: NearWords, generator: Generator) -> list[str]:
    """Two or three of the phrases in a drawn order, each replaced with a chance of .3 by one of its near words."""
    drawn = generator.sample(phrases, min(len(phrases), generator.choice((2, 3))))
    found = []
    for phrase in drawn:
        others = near.near(phrase) if generator.random() < REPLACED else []
        found.append(generator.choice(others) if others else phrase)
    return found


@dataclass
class _Work:
    """One dialogue's keyphrases and random numbers, and what was written for it."""

    dialogue: Dialogue
    phrases: list[str]
    generator: Generator
    refusals: Refusals
    chosen: list[str] = field(default_factory=list)
    attempts: int = 0


@dataclass
class KeySem:
    """Responses with keywords of the context, written by a keyword model in a wrong context.

    Args:
        pool: the corpus; the model is fitted to its positives, wrong contexts come from it.
        model: to be fitted, as for `pneg.models.causal_folder`; by default `gpt2`, else `smollm2-135m`.
        keyphrases: `rake` or `yake`.
        attempts: how often what is missing of a dialogue's responses is written again.
        fitting: how the model is fitted; by default `Device.fit`, of which the next three may be said otherwise.
        examples: that it is fitted to, 0 for all.
        learning_rate: of the fit.
        epochs: of the fit.
        seed: of keywords, contexts and samples.
        first: position of the first dialogue, for a job that goes on where it was stopped.
        device: where models run; by default the best there is.
        report: told of each step of a fit.

    Attributes:
        counts: what was refused or is missing, by reason.
    """

    pool: Iterable[Dialogue]
    model: str | None = None
    keyphrases: str = "rake"
    attempts: int = 5
    fitting: Fit | None = None
    examples: int | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    seed: int = 0
    first: int = 0
    device: Device | None = None
    report: Report = lambda _: None
    name: str = field(default="key-sem", init=False)
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.pool = list(self.pool)
        self.wrong = WrongContexts(self.pool)
        self.extract = EXTRACTORS[self.keyphrases]()

    @cached_property
    def writer(self) -> Writer:
        """The keyword model."""
        device = self.device or Device.best()
        epochs = self.epochs or (1 if device.small else 3)
        fitting = self.fitting or device.fit(6.25e-5, self.learning_rate, epochs, self.examples)
        job = Job(
            self.name,
            self.model or causal.preferred(),
            TOKENS,
            fitting,
            digest(self.pool, EXAMPLES, self.keyphrases),
            lambda: examples(self.pool, self.extract),
        )
        return Writer(job, device, self.report)

    @cached_property
    def near(self) -> NearWords:
        """Words by the fitted model's input embeddings."""
        return NearWords.of(self.writer.lm)

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Write `count` responses for each dialogue, several dialogues at a time, in order.

        Raises:
            DataError: when the corpus has no other context.
            ModelError: when the model cannot be had.
        """
        works = in_order(
            enumerate(dialogues, self.first),
            lambda some: [self._plan(position, dialogue) for position, dialogue in some],
            lambda work: len(work.chosen) >= count or work.attempts >= self.attempts,
            lambda remaining: self._write(remaining, count),
            self.writer.device.ahead,
        )
        for work in works:
            if len(work.chosen) < count:
                self.counts[TOO_FEW] += count - len(work.chosen)
            yield tuple(work.chosen)

    def _plan(self, position: int, dialogue: Dialogue) -> _Work:
        phrases = keywords("\n".join(dialogue.context), MOST, self.extract)
        return _Work(dialogue, phrases, draws(self.seed, self.name, position), Refusals.of(dialogue))

    def _write(self, works: Sequence[_Work], count: int) -> None:
        for work in works:
            work.attempts += 1
        owners = [work for work in works for _ in range(count - len(work.chosen))]
        asked = [self._asked(work) for work in owners]
        for work, [completion] in zip(owners, _written(self.writer.lm, asked, self.writer.device.rows), strict=True):
            response = " ".join(completion.text.split())
            reason = EMPTY if not response else TAGGED if TAG.search(response) else work.refusals.reason(response)
            if reason is None:
                work.chosen.append(response)
            else:
                self.counts[reason] += 1

    def _asked(self, work: _Work) -> Asked:
        phrases = draw_keywords(work.phrases, self.near, work.generator)
        context = self.wrong.draw(work.dialogue, work.generator)
        return Asked(prompt(phrases, context, LAST), (work.generator.getrandbits(63),))


def _written(lm: Causal, asked: Sequence[Asked], rows: int) -> list[tuple[Completion, ...]]:
    from pneg.lm.sampling import sample

    drawing = Drawing(END, temperature=0.9, top_p=0.9, min_tokens=5, max_tokens=40, rows=rows)
    return sample(lm, asked, drawing)
