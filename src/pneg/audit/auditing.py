"""The audit of a file: everything measured for every source of its negatives."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneg.audit import cues, false_negatives, probe
from pneg.audit.cues import Cue
from pneg.audit.distributions import LENGTH_EDGES, OVERLAP_EDGES, distribution
from pneg.audit.diversity import diversity
from pneg.audit.faults import faults
from pneg.audit.giveaways import giveaways
from pneg.audit.queries import NONE, Queries, Texts, sources_of
from pneg.audit.reading import Reading, Score, Scored, reading, scores_of
from pneg.audit.results import Audit, SourceAudit
from pneg.audit.verdict import verdict
from pneg.audit.words import content_stems, is_unspaced, scripts
from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH, no_source
from pneg.selector.ranking import Scorer

SECOND_SCRIPT = 0.02
"""Share of the responses from which a second script is worth a note: enough for a probe to learn something of it."""


def audit(
    dialogues: Iterable[Dialogue],
    *,
    sets: Sequence[str] = (),
    selector: Scorer | None = None,
    reference: Score | None = None,
    fit: Iterable[Dialogue] = (),
    examples: Iterable[Dialogue] = (),
    precision: str = "float32",
    seed: int = 0,
) -> Audit:
    """Measure what gives the negatives of each source away, and how good they are as texts.

    Each positive in turn is ranked against the first five negatives of the source.

    Args:
        dialogues: with positives and negatives.
        sets: the sources to audit; by default all.
        selector: measured with the context shown, hidden and replaced by another dialogue's; finds likely false
            negatives, too.
        reference: finds likely false negatives instead of the selector, as `false_negatives.similarity` does.
        fit: dialogues that a second probe is fitted to; the first is cross-fitted on `dialogues`.
        examples: demonstrations whose responses negatives may have been copied from.
        precision: what the selector computes in.
        seed: seed for every random choice.

    Raises:
        DataError: when there is nothing to audit, or no dialogue has negatives of a source in `sets`.
        MissingExtra: without what the audit needs.
    """
    every, texts = list(dialogues), Texts()
    chosen = [Queries.of(every, name, texts) for name in _chosen(every, sets)]
    chosen = [queries for queries in chosen if queries.dialogues]
    if not chosen:
        raise DataError("no dialogue has both a positive and a negative", "there is nothing to rank")
    apart = any(len(set(queries.groups.tolist())) > 1 for queries in chosen)
    judge = _Judge(Scored(scores_of(selector, precision)), selector.history) if selector else None
    given = _Given(
        features=probe.Features(texts.all).of(texts.all) if apart else None,
        stems=[content_stems(text) for text in texts.all],
        fit=list(fit),
        demonstrations=[text for example in examples for text in _responses(example)],
        selector=judge,
        reference=_Judge(Scored(reference), false_negatives.HISTORY) if reference else judge,
        seed=seed,
    )
    return Audit(
        dialogues=len(every),
        positives=diversity([text for dialogue in every for text in dialogue.positives], seed=seed),
        sources=tuple(_source(queries, given) for queries in chosen),
        notes=tuple(_notes(every, texts.all)),
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """What scores pairs, and how many turns it reads."""

    scored: Scored
    history: int


@dataclass(frozen=True, slots=True)
class _Given:
    """What the audits of all sources share: features and stems of the texts, and the arguments of `audit`."""

    features: Any
    stems: list[frozenset[str]]
    fit: list[Dialogue]
    demonstrations: list[str]
    selector: _Judge | None
    reference: _Judge | None
    seed: int


def _chosen(dialogues: Sequence[Dialogue], sets: Sequence[str]) -> list[str]:
    if not dialogues:
        raise DataError("there are no dialogues", "there is nothing to audit")
    there = sources_of(dialogues)
    for name in sets:
        if name not in there:
            raise no_source(name, there)
    if not there:
        raise DataError("no dialogue has negatives", "pneg negatives SOURCE IN -o OUT adds them")
    return list(dict.fromkeys(sets)) or list(there)


def _source(queries: Queries, given: _Given) -> SourceAudit:
    tests, seed = cues.folds(queries.groups), given.seed
    overlaps = cues.overlaps_of(queries, given.stems)
    style = probe.style(queries, given.features, tests, seed) if tests else None
    length = cues.length(queries, tests, seed) if tests else None
    overlap = cues.overlap(queries, overlaps, tests, seed) if tests else None
    found = [cue for cue in (style, length, overlap) if cue]
    elsewhere, fit_notes = _fitted_elsewhere(queries, given)
    read = _reading(queries, given)
    words_per_text = queries.of_texts(cues.lengths(queries.texts))
    judged = verdict(found, queries.chance, len(queries.dialogues), read)
    judge = given.reference
    per_context = (queries.negatives != NONE).sum(1)
    return SourceAudit(
        name=queries.source,
        verdict=judged.sentence,
        level=judged.level,
        contexts=len(queries.dialogues),
        skipped=queries.skipped,
        queries=int((queries.positives != NONE).sum()),
        negatives=int(per_context.sum()),
        short=int((per_context < EACH).sum()),
        chance=queries.chance,
        style=style,
        fitted_elsewhere=elsewhere,
        length=length,
        overlap=overlap,
        giveaways=giveaways(queries),
        reading=read,
        suspects=false_negatives.suspects(queries, judge.scored, judge.history) if judge else None,
        diversity=diversity(queries.negative_texts(), given.demonstrations, seed),
        faults=faults(queries),
        lengths=distribution(*words_per_text, LENGTH_EDGES),
        overlaps=distribution(*overlaps, OVERLAP_EDGES),
        notes=(*_source_notes(queries, bool(tests), style, read, given), *fit_notes),
    )


def _reading(queries: Queries, given: _Given) -> Reading | None:
    judge = given.selector
    return reading(queries, judge.scored, judge.history, given.seed) if judge else None


def _fitted_elsewhere(queries: Queries, given: _Given) -> tuple[Cue | None, list[str]]:
    """What a probe achieves that was fitted to another file, or a note why there is none."""
    if not given.fit:
        return None, []
    other = Queries.of(given.fit, queries.source, Texts())
    if not other.dialogues:
        return None, [f"the file to fit the probe to has no negatives of the source {queries.source!r}"]
    return probe.style_fitted_to(other, queries, given.seed), []


def _source_notes(
    queries: Queries, folded: bool, style: Cue | None, read: Reading | None, given: _Given
) -> Iterator[str]:
    negatives = (queries.negatives != NONE).sum(1)
    if queries.skipped:
        yield f"{queries.skipped} dialogues have no positive or none of these negatives, and are left out"
    if short := int((negatives < EACH).sum()):
        yield f"{short} contexts have fewer than {EACH} negatives; chance is averaged over all queries"
    if not folded:
        yield "all contexts are equal: no cue can be tested on a context that it was not fitted to"
    elif style is None:
        yield "the same responses recur in every fifth of the contexts: style cannot be tested on responses not seen"
    if read is not None and read.other is None:
        yield "all contexts are equal: there is no other one to put in its place"
    shared = [given.stems[number] for number in queries.negatives[queries.negatives != NONE].tolist()]
    if not any(shared):
        yield "no negative has a word that carries content: the overlap with the context says nothing"


def _notes(dialogues: Sequence[Dialogue], texts: Sequence[str]) -> Iterator[str]:
    if all(len(dialogue.context) == 1 for dialogue in dialogues):
        yield "every context is a single turn: overlap is that with this turn"
    shares = scripts(texts)
    if len(shares) > 1 and list(shares.values())[1] >= SECOND_SCRIPT:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.005)
        yield (
            f"the responses are in several scripts ({parts}): style may be the language of a response, so audit each "
            "language apart"
        )
    unspaced = np.mean([is_unspaced(text) for text in texts])
    if unspaced:
        yield (
            f"{unspaced:.0%} of the responses have characters of a script without spaces between words: there each "
            "character counts as a word"
        )
    contexts = [dialogue.context for dialogue in dialogues]
    if repeated := len(contexts) - len(set(contexts)):
        yield f"{repeated} dialogues repeat a context of another: equal contexts are in the same fold"


def _responses(dialogue: Dialogue) -> list[str]:
    return [*dialogue.positives, *(text for own in dialogue.negatives.values() for text in own)]
