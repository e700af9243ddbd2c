"""The audit of a file: its verdicts, and what it says of files that lack something."""

import json
from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.audit import Audit, audit
from pneg.corpora.starter import KINDS
from pneg.errors import DataError

WORDS = "tea rain bus song book lamp cake road fish door star milk".split()


def dialogues(count: int = 40, negatives: int = 5) -> list[Dialogue]:
    """Negatives that begin with a word of their own; two turns a context."""
    return [
        Dialogue(
            str(n),
            ("Good morning.", f"What about number {n}?"),
            (f"I like the {WORDS[n % 12]} {n}.",),
            {"written": tuple(f"Well, I like the {WORDS[(n + k) % 12]} {n}." for k in range(1, negatives + 1))},
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def starter() -> Audit:
    return audit(corpora.read("starter:test"), examples=corpora.read("starter:demonstrations"))


def test_the_starter_test_has_no_trap(starter: Audit) -> None:
    sources = {source.name: source for source in starter.sources}
    human, dialogues = sources["human"], list(corpora.read("starter:test"))
    assert human.level == "no shortcut"
    assert sources["random"].level == "easy"
    for kind in KINDS:  # each has a form of its own, as a repeated question is a question; all together have none
        style = sources[kind].style
        assert style is not None and style.figures.recall_at_1 < sources[kind].chance + 0.3, kind
    assert human.diversity.copies == 0
    assert human.contexts == len(dialogues)
    assert human.queries == sum(len(dialogue.positives) for dialogue in dialogues)


def test_the_json_is_json_and_holds_the_figures(starter: Audit) -> None:
    found = json.loads(json.dumps(starter.as_json()))
    assert found["dialogues"] == starter.dialogues
    [source] = [source for source in starter.sources if source.name == "human"]
    human = found["sources"]["human"]
    assert source.style is not None
    assert human["style"]["r@1"] == source.style.figures.recall_at_1
    assert human["style"]["ci95"] == list(source.style.figures.interval)
    assert human["chance"] == pytest.approx(1 / 6)
    assert human["selector"] is None
    assert human["false_negatives"] is None
    assert sum(human["lengths"]["positives"]) == pytest.approx(1)
    assert sum(human["overlaps"]["negatives"]) == pytest.approx(1)


def test_the_published_test_is_given_away(shared_data: Path) -> None:
    found = audit(list(corpora.read(shared_data / "dailydialog++" / "test.json"))[:150], sets=["human"])
    [human] = found.sources
    assert human.level == "given away"
    assert human.verdict.startswith("Style gives these negatives away: a linear model that never sees the context")


def test_negatives_with_a_mark_of_their_own_are_given_away_by_it() -> None:
    [written] = audit(dialogues()).sources
    assert written.level == "given away"
    assert {word.word for word in written.giveaways} == {"well", ","}
    assert written.lengths.mean_negative == written.lengths.mean_positive + 1


def test_the_same_seed_gives_the_same_audit() -> None:
    assert audit(dialogues(), seed=1) == audit(dialogues(), seed=1)


def test_a_probe_fitted_elsewhere_stands_beside_the_other_one() -> None:
    [written] = audit(dialogues(), fit=dialogues(60)).sources
    assert written.fitted_elsewhere is not None
    assert written.fitted_elsewhere.figures.recall_at_1 == 1.0


def test_a_file_to_fit_to_without_the_source_is_noted() -> None:
    [written] = audit(dialogues(), fit=corpora.read("starter:test")).sources
    assert written.fitted_elsewhere is None
    assert "the file to fit the probe to has no negatives of the source 'written'" in written.notes


def test_copies_of_demonstrations_are_counted() -> None:
    demonstrations = list(corpora.read("starter:demonstrations"))[:3]
    assert audit(demonstrations, examples=demonstrations).sources[0].diversity.copies == 1.0
    assert audit(demonstrations).sources[0].diversity.copies == 0.0


def test_a_file_without_negatives_says_how_to_add_them() -> None:
    with pytest.raises(DataError, match="no dialogue has negatives; pneg negatives SOURCE IN -o OUT adds them"):
        audit([Dialogue("a", ("Hi.",), ("Hello.",))])


def test_a_file_without_positives_has_nothing_to_rank() -> None:
    with pytest.raises(DataError, match="no dialogue has both a positive and a negative"):
        audit([Dialogue("a", ("Hi.",), (), {"human": ("No.",)})])


def test_an_empty_file_has_nothing_to_audit() -> None:
    with pytest.raises(DataError, match="there are no dialogues"):
        audit([])


def test_a_source_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="no dialogue has negatives of the source 'bm25'; there are: written"):
        audit(dialogues(2), sets=["bm25"])


def test_one_dialogue_is_too_few_to_judge() -> None:
    [written] = audit(dialogues(1)).sources
    assert written.level == "too few"
    assert written.cues() == ()
    assert "all contexts are equal: no cue can be tested on a context that it was not fitted to" in written.notes


def test_single_turns_are_noted() -> None:
    single = [Dialogue(each.id, each.context[-1:], each.positives, each.negatives) for each in dialogues(4)]
    assert any(note.startswith("every context is a single turn") for note in audit(single).notes)
    assert not any(note.startswith("every context is a single turn") for note in audit(dialogues(4)).notes)


def test_contexts_with_fewer_negatives_and_dialogues_without_are_counted() -> None:
    few = [*dialogues(6), *dialogues(3, negatives=2), Dialogue("x", ("Hi.",), ("Ho.",))]
    [written] = audit(few).sources
    assert (written.contexts, written.short, written.skipped, written.negatives) == (9, 3, 1, 36)
    assert written.chance == pytest.approx((6 / 6 + 3 / 3) / 9)
    assert "3 contexts have fewer than 5 negatives; chance is averaged over all queries" in written.notes


def test_two_languages_are_noted_and_measured() -> None:
    """Half of the dialogues are Chinese, whose words have no spaces between them."""
    chinese = [
        Dialogue(
            f"c{n}",
            (f"\u4f60\u559c\u6b22\u559d\u8336\u5417{n}\uff1f",),
            (f"\u6211\u5f88\u559c\u6b22\u559d\u8336{n}\u3002",),
            {"written": tuple(f"\u4ed6\u4eca\u5929\u559d\u8336\u53bb{n}{k}\u3002" for k in range(5))},
        )
        for n in range(20)
    ]
    found = audit([*dialogues(20), *chinese])
    [written] = found.sources
    assert any("several scripts (" in note and "Latin 50%, Chinese 50%" in note for note in found.notes)
    assert any("50% of the responses have characters of a script without spaces" in note for note in found.notes)
    assert written.overlaps.mean_negative > 0
    assert written.contexts == 40


def test_responses_of_emoji_and_punctuation_alone_are_measured() -> None:
    odd = [
        Dialogue(str(n), (f"Number {n}?",), ("\U0001f600" * (n + 1),), {"written": ("_" * (n + 1),)})
        for n in range(8)
    ]
    [written] = audit(odd).sources
    assert written.lengths.mean_positive == 0
    assert "no negative has a word that carries content: the overlap with the context says nothing" in written.notes


def test_the_same_few_responses_everywhere_leave_style_untested() -> None:
    canned = [Dialogue(str(n), (f"Number {n}?",), ("Yes.",), {"written": ("No.",)}) for n in range(40)]
    [written] = audit(canned).sources
    assert written.style is None
    assert any(note.startswith("the same responses recur") for note in written.notes)
    assert written.level == "no shortcut"
