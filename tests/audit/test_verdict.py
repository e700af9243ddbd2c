"""The sentence of verdict follows the figures."""

from pneg.audit.cues import Cue
from pneg.audit.measures import Recall
from pneg.audit.reading import Reading
from pneg.audit.verdict import bound, verdict

CHANCE = 1 / 6


def figures(value: float, margin: float = 0.03) -> Recall:
    return Recall(value, (value - margin, value + margin), value, 0.5, (0.4, 0.6))


def cues(style: float, length: float, overlap: float, rule: str = "least", margin: float = 0.03) -> list[Cue]:
    return [
        Cue("style", "linear model", figures(style, margin)),
        Cue("length", "shortest", figures(length, margin)),
        Cue("overlap", rule, figures(overlap, margin)),
    ]


def test_the_bound_is_the_starters_at_six_candidates_and_grows_with_chance() -> None:
    assert round(bound(1 / 6), 2) == 0.35
    assert round(bound(1 / 2), 2) == 0.61


def test_the_strongest_cue_is_named_first_and_the_others_behind_it() -> None:
    found = verdict(cues(0.76, 0.60, 0.49), CHANCE, 1000)
    assert found.level == "given away"
    assert found.sentence == (
        "Style gives these negatives away: a linear model that never sees the context ranks the positive first in "
        "76% of cases (chance 17%); length alone does so in 60% and word overlap in 49%."
    )


def test_a_cue_that_stays_below_the_bound_is_no_shortcut() -> None:
    found = verdict(cues(0.24, 0.19, 0.20), CHANCE, 100)
    assert found.level == "no shortcut"
    assert "the best is style" in found.sentence
    assert "in 24% of cases (chance 17%)" in found.sentence


def test_an_interval_across_the_bound_says_that_there_are_too_few_contexts() -> None:
    found = verdict(cues(0.30, 0.20, 0.20, margin=0.1), CHANCE, 60)
    assert found.level == "unsure"
    assert "60 contexts are too few to be sure (95% interval 20% to 40%, the bound is 35%)" in found.sentence


def test_many_shared_words_are_a_sign_of_the_topic_and_no_shortcut() -> None:
    found = verdict(cues(0.20, 0.20, 0.60, rule="most"), CHANCE, 500)
    assert found.level == "easy"
    assert "the candidate that shares the most words with the context is the positive in 60%" in found.sentence
    assert verdict(cues(0.80, 0.20, 0.90, rule="most"), CHANCE, 500).sentence.startswith("Style gives")


def test_few_contexts_are_not_judged_whatever_the_figures() -> None:
    assert (
        verdict(cues(0.9, 0.9, 0.9), CHANCE, 29).sentence == "29 contexts are too few to judge: the audit needs 30."
    )
    assert verdict([], CHANCE, 1).sentence == "1 context is too few to judge: the audit needs 30."
    assert verdict([], CHANCE, 40).sentence == "40 contexts that are all equal are too few to judge."
    assert verdict(cues(0.9, 0.9, 0.9), CHANCE, 30).level == "given away"


def test_a_selector_that_keeps_its_score_without_the_context_is_told_of() -> None:
    blind = Reading(figures(0.76), figures(0.69), None)
    assert verdict(cues(0.7, 0.2, 0.2), CHANCE, 500, blind).sentence.endswith(
        "; the selector ranks it first in 76%, and still in 69% with the context hidden: most of that does not come "
        "from the context."
    )
    reader = Reading(figures(0.76), figures(0.25), None)
    assert verdict(cues(0.2, 0.2, 0.2), CHANCE, 500, reader).sentence.endswith("so it reads the context.")
    guesser = Reading(figures(0.17), figures(0.17), None)
    assert verdict(cues(0.2, 0.2, 0.2), CHANCE, 500, guesser).sentence.endswith("which is no better than chance.")
