"""Responses that `pneg negatives prompted` would have written again: the faults of the paper's Appendix F."""

from collections import Counter
from collections.abc import Mapping

from pneg.audit.queries import Queries
from pneg.negatives.prompted.faults import Faults
from pneg.negatives.prompted.parse import Parsed


def faults(queries: Queries) -> Mapping[str, int]:
    """How many of a source's negatives have a fault, by its name, the most frequent first."""
    counts: Counter[str] = Counter()
    for dialogue, numbers in zip(queries.dialogues, queries.negatives.tolist(), strict=True):
        judge = Faults(dialogue)
        reasons = (judge.of(Parsed(queries.texts[number])) for number in numbers if number >= 0)
        counts.update(reason for reason in reasons if reason is not None)
    return dict(counts.most_common())
