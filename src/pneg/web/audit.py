"""The page of `pneg audit`: one HTML file that needs nothing else."""

from collections.abc import Sequence
from itertools import pairwise

from pneg.audit import Audit, SourceAudit
from pneg.audit.distributions import Distribution
from pneg.audit.results import LISTED
from pneg.audit.verdict import CLEAN, EASY, GIVEN, NAMES, TOO_FEW, UNSURE, bound
from pneg.web.pages import INK, SOFT, drawing, rendered, svg

POSITIVE, NEGATIVE = "#3f7fe0", "#d2691e"
"""Both are at least 3 to 1 against white and against the dark paper."""
CUES = (("style", "#8a63d2", "o"), ("length", "#3f7fe0", "s"), ("overlap", "#d2691e", "D"))
SHOWN = 3
"""Likely false negatives of a source that are open to view; the others open with a click."""
TAGS = {GIVEN: "worse", UNSURE: "unsure", TOO_FEW: "unsure", EASY: "unsure", CLEAN: ""}
"""The class of the tag that shows a level."""


def page(audit: Audit, name: str) -> str:
    """The page of an audit.

    Args:
        audit: what was found.
        name: what was audited.
    """
    return rendered(
        "audit.html",
        "audit",
        audit=audit,
        name=name,
        tags=TAGS,
        variety=[("positives", audit.positives), *((source.name, source.diversity) for source in audit.sources)],
        listed=LISTED,
        shown=SHOWN,
        read=any(source.reading for source in audit.sources),
        overview=_overview(audit.sources),
        lengths={source.name: _histogram(source.lengths, "words") for source in audit.sources},
        overlaps={source.name: _histogram(source.overlaps, "overlap with the context") for source in audit.sources},
    )


def _overview(sources: Sequence[SourceAudit]) -> str:
    """R@1 of each cue with its interval, a row a source; empty where no source has any."""
    judged = [source for source in sources if source.cues()]
    if not judged:
        return ""
    with drawing(4.8, 1.2 + 0.6 * len(judged), "audit") as figure:
        axes = figure.subplots()
        for row, source in enumerate(judged):
            for place, (name, colour, mark) in enumerate(CUES):
                cue = getattr(source, name)
                if cue is None:
                    continue
                y = row + (place - 1) * 0.22
                low, high = cue.figures.interval
                axes.plot([low, high], [y, y], color=colour, linewidth=2)
                label = NAMES[name] if row == 0 else None
                axes.plot(cue.figures.recall_at_1, y, mark, color=colour, markersize=7, label=label, linestyle="none")
            chance = source.chance
            axes.plot([chance] * 2, [row - 0.45, row + 0.45], color=SOFT, linewidth=1.4, linestyle=":")
            axes.plot([bound(chance)] * 2, [row - 0.45, row + 0.45], color=INK, linewidth=1.2, linestyle="--")
        for first, second in pairwise(range(len(judged))):
            axes.axhline((first + second) / 2, color=SOFT, linewidth=0.4)
        axes.set(yticks=range(len(judged)), yticklabels=[source.name for source in judged], xlim=(0, 1), xlabel="R@1")
        axes.set_ylim(len(judged) - 0.5, -0.5)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.2)
        return svg(figure)


def _histogram(distribution: Distribution, quantity: str) -> str:
    """The shares of positives and negatives in each bin."""
    last = max(
        (n for n, pair in enumerate(zip(distribution.positives, distribution.negatives, strict=True)) if any(pair)),
        default=0,
    )
    bins = last + 1
    edges = [*distribution.edges[:bins]]
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    edges.append(edges[-1] + width)
    with drawing(4.4, 2.6, "audit") as figure:
        axes = figure.subplots()
        for shares, colour, label in (
            (distribution.positives, POSITIVE, "positives"),
            (distribution.negatives, NEGATIVE, "negatives"),
        ):
            axes.stairs(shares[:bins], edges, color=colour, fill=True, alpha=0.22)
            axes.stairs(shares[:bins], edges, color=colour, linewidth=1.8, label=label)
        axes.set_xlabel(quantity)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return svg(figure)
