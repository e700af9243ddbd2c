"""What an audit found: plain data, and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneg.audit.cues import Cue
from pneg.audit.distributions import Distribution
from pneg.audit.diversity import Diversity
from pneg.audit.false_negatives import Suspect
from pneg.audit.giveaways import Giveaway
from pneg.audit.reading import Reading

LISTED = 20
"""Likely false negatives of a source that `as_json` lists; all are in `SourceAudit.suspects`."""


@dataclass(frozen=True, slots=True)
class SourceAudit:
    """What the audit found of one source of negatives.

    Attributes:
        name: the source.
        verdict: one sentence about it.
        level: the verdict in a word, one of `pneg.audit.verdict.LEVELS`.
        contexts: dialogues with a positive and a negative of this source.
        skipped: dialogues of the file without.
        queries: positives that were ranked.
        negatives: negatives that they were ranked against, at most five of a context.
        short: contexts with fewer than five.
        chance: R@1 of a guess.
        style: R@1 of a linear model that never sees the context; None where all contexts are equal, or the
            same responses recur everywhere.
        fitted_elsewhere: the same, fitted to another file; None without one that has this
            source.
        length: R@1 of length alone; None where all contexts are equal.
        overlap: R@1 of word overlap with the context alone; None where all contexts are equal.
        giveaways: words that stand more often in negatives, or in positives.
        reading: what a selector takes from the context; None without one.
        suspects: likely false negatives, the most suspicious first; None without a selector or reference.
        diversity: how much the negatives repeat each other.
        faults: how many negatives have a fault, by its name.
        lengths: the distribution of the number of words.
        overlaps: the distribution of the overlap with the context.
        notes: what a reader of the figures has to know.
    """

    name: str
    verdict: str
    level: str
    contexts: int
    skipped: int
    queries: int
    negatives: int
    short: int
    chance: float
    style: Cue | None
    fitted_elsewhere: Cue | None
    length: Cue | None
    overlap: Cue | None
    giveaways: tuple[Giveaway, ...]
    reading: Reading | None
    suspects: tuple[Suspect, ...] | None
    diversity: Diversity
    faults: Mapping[str, int]
    lengths: Distribution
    overlaps: Distribution
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it, with the first `LISTED` likely false negatives."""
        return {
            "verdict": self.verdict,
            "level": self.level,
            "contexts": self.contexts,
            "skipped": self.skipped,
            "queries": self.queries,
            "negatives": self.negatives,
            "short": self.short,
            "chance": self.chance,
            **{name: part and part.as_json() for name, part in self.parts().items()},
            "giveaways": [word.as_json() for word in self.giveaways],
            "false_negatives": None if self.suspects is None else len(self.suspects),
            "most_suspicious": [suspect.as_json() for suspect in (self.suspects or ())[:LISTED]],
            "diversity": self.diversity.as_json(),
            "faults": dict(self.faults),
            "lengths": self.lengths.as_json(),
            "overlaps": self.overlaps.as_json(),
            "notes": list(self.notes),
        }

    def cues(self) -> tuple[Cue, ...]:
        """Style, length and overlap, those that could be tested."""
        return tuple(cue for cue in (self.style, self.length, self.overlap) if cue)

    def parts(self) -> dict[str, Cue | Reading | None]:
        """The figures that may be missing, by their names."""
        return {
            "style": self.style,
            "style_fitted_elsewhere": self.fitted_elsewhere,
            "length": self.length,
            "overlap": self.overlap,
            "selector": self.reading,
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit found of a file.

    Attributes:
        dialogues: how many were read.
        positives: how much the positives repeat each other, to compare the sources with.
        sources: one a source.
        notes: what concerns all sources.
    """

    dialogues: int
    positives: Diversity
    sources: tuple[SourceAudit, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What `pneg audit --json` prints."""
        return {
            "dialogues": self.dialogues,
            "positives": self.positives.as_json(),
            "sources": {source.name: source.as_json() for source in self.sources},
            "notes": list(self.notes),
        }
