"""The page of `pneg demo`: one HTML file that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from pneg.web.pages import INK, SOFT, drawing, rendered, svg

NAMES = {"random": "random negatives", "prompted": "random + written negatives"}
SETS = {"random": "random set", "human": "adversarial set"}
COLOURS = {"random": "#8a94a6", "prompted": "#2f6fde"}


def page(result: Mapping[str, Any]) -> str:
    """The page of a demo.

    Args:
        result: as `pneg.study.demo.run` returns it.
    """
    return rendered(
        "demo.html",
        "demo",
        result=result,
        names=NAMES,
        sets=SETS,
        plot=_plot(result["scores"]),
        verdict=verdict(result["scores"]),
    )


def verdict(scores: Mapping[str, Any]) -> str:
    """What the figures say of the written negatives, in a sentence, whatever it is."""
    before, after = (scores[source]["human"] for source in ("random", "prompted"))
    apart = before["ci95"][1] < after["ci95"][0] or after["ci95"][1] < before["ci95"][0]
    told = "their 95% intervals " + ("do not overlap" if apart else "overlap, so take neither for better")
    return (
        f"On the adversarial set R@1 is {before['r@1']:.3f} with random negatives and {after['r@1']:.3f} with "
        f"written ones besides; {told}."
    )


def _plot(scores: Mapping[str, Any]) -> str:
    """Bars of R@1 with their intervals, and a mark where the same selector stands with the context hidden."""
    with drawing(7.2, 3.4, "demo") as figure:
        axes = figure.subplots()
        for place, (source, of) in enumerate(scores.items()):
            for group, name in enumerate(SETS):
                score, x = of[name], group + (place - 0.5) * 0.36
                low, high = score["ci95"]
                label = NAMES[source] if group == 0 else None
                axes.bar(x, score["r@1"], 0.32, color=COLOURS[source], label=label)
                axes.plot([x, x], [low, high], color=INK, linewidth=1.2)
                axes.text(x + 0.03, score["r@1"] + 0.012, f"{score['r@1']:.2f}", ha="left", va="bottom")
                hidden = "context hidden" if (group, place) == (1, 1) else None
                axes.plot(
                    x,
                    score["hidden"]["r@1"],
                    "D",
                    color="#e8842a",
                    markersize=7,
                    markeredgecolor="white",
                    label=hidden,
                )
        axes.axhline(1 / 6, color=SOFT, linewidth=1, linestyle=":")
        axes.text(1.5, 1 / 6 + 0.01, "chance", ha="right", color=SOFT, fontsize=9)
        axes.set(xticks=range(len(SETS)), xticklabels=list(SETS.values()), ylabel="R@1", xlim=(-0.5, 1.5))
        axes.set_ylim(0, max(0.6, *(score["ci95"][1] + 0.12 for of in scores.values() for score in of.values())))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18), columnspacing=1.2)
        return svg(figure)
