"""`mask-and-fill`: a real response with some of it written anew, for another context (Gupta et al. 2021)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pneg.dialogue import Dialogue
from pneg.lm import causal
from pneg.lm.base import Completion
from pneg.lm.causal import Causal
from pneg.lm.finetune import Fit, Job, Report
from pneg.lm.sampling import Asked, Drawing
from pneg.negatives.base import Refusals, draws
from pneg.negatives.bm25 import BM25
from pneg.negatives.mask_and_fill import choice, infill, masking, thresholds
from pneg.negatives.mask_and_fill.masking import Span
from pneg.negatives.mask_and_fill.thresholds import Thresholds
from pneg.negatives.mask_and_fill.utterances import MOST, long_enough, utterances
from pneg.negatives.random import Random
from pneg.negatives.written import Device, Writer, digest, in_order
from pneg.negatives.wrong_context import TAG, WrongContexts

VERSIONS_AN_UTTERANCE = 4
WAVE = 8
"""Masked versions of a context that are filled before it is asked whether more are needed."""
NEIGHBOURS = 16
"""Contexts in a row that draw their wrong contexts from the same numbers: each of these is read once for all."""
TAGGED = "speaker's tag"
UNFINISHED, UNORIGINAL, UNLIKELY = "unfinished fill", "too few new content words", "unlikely text"
FILLED_UP = "filled up with random"
EXAMPLES = "mask-and-fill 1"
"""Changes with how examples are made, so that no model fitted to others is taken for one fitted to these."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A masked response to be filled in a wrong context."""

    response: str
    masked: tuple[Span, ...]
    asked: Asked


@dataclass
class _Work:
    """One dialogue's tasks that remain, and the responses that may be chosen so far."""

    dialogue: Dialogue
    position: int
    tasks: list[_Task]
    refusals: Refusals
    responses: list[str] = field(default_factory=list)


@dataclass
class MaskAndFill:
    """Responses with masked spans that an infilling model filled in a wrong context.

    The first responses of the first round of the diverse choice do not depend on those behind them, so a context
    is filled in waves of 8 masked versions until they are known: what is chosen is the same as if all were filled.
    Versions with few blanks are filled first: more of their fills are good.

    Each version is filled in a wrong context of its own. Sixteen dialogues in a row draw the same ones, so that the
    model reads each once for all of them.

    Args:
        pool: the corpus; the model is fitted to its positives, responses and wrong contexts come from it.
        model: to be fitted, as for `pneg.models.causal_folder`; by default `gpt2`, else `smollm2-135m`.
        versions: masked versions of a context's utterances that may be filled.
        samples: of each. With fewer a context takes less time, and more responses are filled up.
        kept: responses a context, at most; what is missing of the count then is drawn at random.
        training_versions: of each response, that the model is fitted to.
        fitting: how the model is fitted; by default `Device.fit`, of which the next three may be said otherwise.
        examples: that it is fitted to, 0 for all.
        learning_rate: of the fit.
        epochs: of the fit.
        scorer: a plain language model that refuses unlikely texts; by default the model before it was fitted.
        seed: of masks, contexts and samples.
        first: position of the first dialogue, for a job that goes on where it was stopped.
        device: where models run; by default the best there is.
        report: told of each step of a fit.

    Attributes:
        counts: what was refused, by reason; what was filled up with random responses, and what is missing still.
    """

    pool: Iterable[Dialogue]
    model: str | None = None
    versions: int = 32
    samples: int = 5
    kept: int = 20
    training_versions: int = 16
    fitting: Fit | None = None
    examples: int | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    scorer: str | None = None
    seed: int = 0
    first: int = 0
    device: Device | None = None
    report: Report = lambda _: None
    name: str = field(default="mask-and-fill", init=False)

    def __post_init__(self) -> None:
        self.pool = list(self.pool)
        self.others = Random(self.pool, self.seed, stream=self.name)
        self.wrong = WrongContexts(self.pool)

    @property
    def counts(self) -> Counter[str]:
        """What was refused, filled up or is missing, by reason."""
        return self.others.counts

    @cached_property
    def writer(self) -> Writer:
        """The infilling model."""
        device = self.device or Device.best()
        fitting = self.fitting or device.fit(5e-5, self.learning_rate, self.epochs, self.examples)
        job = Job(
            self.name,
            self.model or causal.preferred(),
            infill.TOKENS,
            fitting,
            digest(self.pool, EXAMPLES, self.training_versions),
            lambda: infill.examples(self.pool, self.training_versions, fitting.seed),
        )
        return Writer(job, device, self.report)

    @cached_property
    def plain(self) -> Causal:
        """The language model that refuses unlikely texts."""
        device = self.writer.device
        return causal.load(self.scorer or self.writer.job.base, device.name, device.precision)

    @cached_property
    def thresholds(self) -> Thresholds:
        """The published ones where the scorer is GPT-2, else those derived from the corpus."""
        if self.plain.name == thresholds.PUBLISHED_FOR:
            return thresholds.PUBLISHED
        real = thresholds.calibration(list(self.others.responses), self.seed)
        return thresholds.derived(real, _log_probabilities(self.plain, real))

    @cached_property
    def retriever(self) -> BM25:
        """BM25 over the longer responses of the corpus."""
        longer = (tuple(filter(long_enough, dialogue.positives)) for dialogue in self.pool)
        return BM25(replace(dialogue, positives=kept) for dialogue, kept in zip(self.pool, longer, strict=True))

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Fill and choose `count` responses for each dialogue, several dialogues at a time, in order.

        Raises:
            DataError: when the corpus has no other context.
            ModelError: when a model cannot be had.
        """
        works = in_order(
            enumerate(dialogues, self.first),
            self._plans,
            lambda work: not (count and work.tasks) or self._settled(work, count),
            self._wave,
            self.writer.device.ahead,
        )
        for work in works:
            yield self._chosen(work, count)

    def _plans(self, some: Sequence[tuple[int, Dialogue]]) -> list[_Work]:
        retrieved = self.retriever.propose([dialogue for _, dialogue in some], MOST)
        return [
            _Work(dialogue, position, self._tasks(dialogue, position, found), Refusals.of(dialogue))
            for (position, dialogue), found in zip(some, retrieved, strict=True)
        ]

    def _tasks(self, dialogue: Dialogue, position: int, retrieved: Iterable[str]) -> list[_Task]:
        generator = draws(self.seed, self.name, position)
        masked = [
            (response, spans)
            for response in utterances(dialogue, retrieved)
            for spans in masking.versions(response, masking.GENERATION, generator, VERSIONS_AN_UTTERANCE, pure=False)
        ]
        generator.shuffle(masked)
        few_blanks_first = sorted(masked[: self.versions], key=lambda version: len(version[1]))
        shared = draws(self.seed, f"{self.name} wrong contexts", position // NEIGHBOURS)
        found = []
        for response, spans in few_blanks_first:
            prompt = infill.prompt(self.wrong.draw(dialogue, shared), response, spans)
            seeds = tuple(generator.getrandbits(63) for _ in range(self.samples))
            found.append(_Task(response, spans, Asked(prompt, seeds, ends=len(spans))))
        return found

    def _wave(self, works: Sequence[_Work]) -> None:
        """Fill the next masked versions of each dialogue, and sort out what came back."""
        tasks = [(work, task) for work in works for task in work.tasks[:WAVE]]
        for work in works:
            del work.tasks[:WAVE]
        written = _written(self.writer.lm, [task.asked for _, task in tasks], self.writer.device.rows)
        found: list[tuple[_Work, str]] = []
        for (work, task), completions in zip(tasks, written, strict=True):
            for completion in completions:
                response = None if completion.cut else infill.fill(task.response, task.masked, completion.text)
                reason = self._fault(work, response)
                if reason is None and response is not None:
                    found.append((work, response))
                elif reason is not None:
                    self.counts[reason] += 1
        scores = _log_probabilities(self.plain, [response for _, response in found])
        for (work, response), score in zip(found, scores, strict=True):
            if self.thresholds.passed(response, score):
                work.responses.append(response)
            else:
                self.counts[UNLIKELY] += 1

    def _fault(self, work: _Work, response: str | None) -> str | None:
        if response is None:
            return UNFINISHED
        if TAG.search(response):
            return TAGGED
        new = choice.new_content_words(response, (*work.dialogue.positives, *work.dialogue.context))
        return work.refusals.reason(response) or (UNORIGINAL if new < choice.FEWEST_NEW else None)

    def _settled(self, work: _Work, count: int) -> bool:
        most = min(count, self.kept)
        return len(choice.diverse(work.responses, most, choice.LIMITS[:1])) == most

    def _chosen(self, work: _Work, count: int) -> tuple[str, ...]:
        chosen = choice.diverse(work.responses, min(count, self.kept))
        refusals = Refusals.of(work.dialogue)
        for response in chosen:
            refusals.reason(response)
        more = self.others.draw(work.position, count - len(chosen), refusals)
        if more:
            self.counts[FILLED_UP] += len(more)
        return (*chosen, *more)


def _written(lm: Causal, asked: Sequence[Asked], rows: int) -> list[tuple[Completion, ...]]:
    from pneg.lm.sampling import sample

    return sample(lm, asked, Drawing(infill.END, temperature=1.0, top_p=0.95, min_tokens=1, max_tokens=64, rows=rows))


def _log_probabilities(lm: Causal, texts: Sequence[str]) -> list[float]:
    from pneg.lm.likelihood import log_probabilities

    return log_probabilities(lm, texts)
