"""The whole method, with a language model that says what it was told to, and with the real one."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.dialogue import normalised
from pneg.errors import BackendError
from pneg.lm import Completion, Embedded, Ledger, Recorded, Request, Run, Scripted, Transformers
from pneg.lm.base import TOO_LONG
from pneg.lm.exchange import REFUSED
from pneg.negatives import Prompted, add
from pneg.negatives.prompted.source import REUSED_AFTER

E = list(corpora.read("starter:demonstrations"))
DIALOGUES = [Dialogue(str(n), (f"Is number {n} ready?", "Not yet."), ("It will be soon.",)) for n in range(40)]


def five_of(request: Request) -> str:
    """Five good responses that name what was asked, as many as are missing."""
    number = re.findall(r"Is number (\d+) ready", request.prompt)[-1]
    first = int(re.findall(r"\n(\d)\.$", request.prompt)[0])
    lines = [f"{n}. Number {number} has answer {n} today" for n in range(first, 6)]
    return "\n".join(lines).removeprefix(f"{first}.")


def test_five_responses_each_in_order_and_only_its_own_key() -> None:
    given = [Dialogue(d.id, d.context, d.positives, {"random": ("x",)}) for d in DIALOGUES]
    written = list(add(Prompted(Scripted(five_of), E), given))
    assert [dialogue.id for dialogue in written] == [dialogue.id for dialogue in DIALOGUES]
    assert written[7].negatives == {
        "random": ("x",),
        "prompted": tuple(f"Number 7 has answer {n} today" for n in range(1, 6)),
    }


def test_only_what_is_missing_is_written_again() -> None:
    answers = [
        " A good one about soup.\n2. There is a ____ here.\n3. Another good one, on bread.\n4. a a a a a",
        " A third, on butter.\n4. A fourth, on tea.\n5. A fifth, on milk.",
    ]
    language_model = Scripted(answers, concurrency=1)
    source = Prompted(language_model, E)
    [responses] = source.propose(DIALOGUES[:1], 5)
    assert responses == (
        "A good one about soup.",
        "Another good one, on bread.",
        "A third, on butter.",
        "A fourth, on tea.",
        "A fifth, on milk.",
    )
    second = language_model.requests[1].prompt
    assert second.endswith("\n1. A good one about soup.\n2. Another good one, on bread.\n3.")
    assert second.startswith(language_model.requests[0].prompt.removesuffix("\n1."))
    assert language_model.requests[1].sampling.max_tokens < language_model.requests[0].sampling.max_tokens
    assert language_model.requests[0].seed != language_model.requests[1].seed
    assert source.counts == {"underscores": 1, "repetition": 1}
    assert (source.tally.requests, source.tally.regenerated, source.tally.contexts) == (2, 1, 1)


def test_a_context_that_cannot_be_filled_says_so_and_is_not_padded() -> None:
    source = Prompted(Scripted([" The same again."], concurrency=1), E, attempts=3)
    [responses] = source.propose(DIALOGUES[:1], 5)
    assert responses == ("The same again.",)
    # the second and third request ask for number 2 behind the one that was kept, and get it again
    assert source.counts == {"duplicate": 2, "too few": 4}
    assert source.tally.requests == 3


def test_the_cut_response_is_written_again() -> None:
    answers = [Completion(" One on soup.\n2. Two on brea", cut=True), " Two on bread.\n3. Three.\n4. Four.\n5. Five."]
    source = Prompted(Scripted(answers, concurrency=1), E)
    assert next(source.propose(DIALOGUES[:1], 5)) == ("One on soup.", "Two on bread.", "Three.", "Four.", "Five.")
    assert source.counts == {"too long": 1}


def test_requests_do_not_depend_on_concurrency_or_on_where_a_job_begins() -> None:
    def requests(concurrency: int, first: int) -> set[tuple[str, int]]:
        language_model = Scripted(five_of, concurrency)
        source = Prompted(language_model, E, seed=3, first=first)
        list(source.propose(DIALOGUES[first:], 5))
        return {(request.prompt, request.seed) for request in language_model.requests}

    whole = requests(1, 0)
    assert requests(7, 0) == whole
    assert len(whole) == 40
    assert requests(4, 15) < whole


def test_the_implicit_instruction_asks_for_one_response_at_a_time_and_shows_nothing() -> None:
    answers = [
        " Ready for what?",
        "",
        " Number nine is not.",
        " I sold it.\n",
        " Red ____ one.",
        " Never.",
        " Yesterday.",
    ]
    language_model = Scripted(answers, concurrency=1)
    source = Prompted(language_model, E, instruction="implicit")
    [responses] = source.propose(DIALOGUES[:1], 5)
    assert responses == ("Ready for what?", "Number nine is not.", "I sold it.", "Never.", "Yesterday.")
    assert source.counts == {"empty": 1, "underscores": 1}
    assert len({request.prompt for request in language_model.requests}) == 1
    assert len({request.seed for request in language_model.requests}) == 7
    assert (source.tally.requests, source.tally.regenerated) == (7, 1)


def test_an_unknown_instruction_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of direct, positive, implicit"):
        Prompted(Scripted([]), E, instruction="indirect")


def reusing(concurrency: int, many: list[Dialogue], first: int = 0, earlier: Sequence[Dialogue] = ()):
    language_model = Scripted(five_of, concurrency)
    source = Prompted(language_model, E[:3], seed=1, reuse=True, first=first, earlier=earlier)
    return list(add(source, many[first:])), {(r.prompt, r.seed) for r in language_model.requests}


def test_what_was_written_joins_the_examples_whoever_is_done_first_and_whenever_a_job_goes_on() -> None:
    many = [
        Dialogue(str(n), (f"Is number {n} ready?", "Not yet."), ("It will be soon.",))
        for n in range(2 * REUSED_AFTER + 20)
    ]
    written, requests = reusing(1, many)
    before = [prompt for prompt, _ in requests if re.findall(r"Is number (\d+) ready", prompt)[:-1]]
    assert before
    targets = [int(re.findall(r"Is number (\d+) ready", prompt)[-1]) for prompt in before]
    assert min(targets) >= REUSED_AFTER
    shown = [int(n) for prompt in before for n in re.findall(r"Is number (\d+) ready", prompt)[:-1]]
    assert max(shown) >= REUSED_AFTER  # by the third part those of the second have joined
    assert reusing(7, many) == (written, requests)
    for stop in (REUSED_AFTER - 5, REUSED_AFTER, 2 * REUSED_AFTER + 3):
        again, rest = reusing(3, many, stop, written[:stop])
        assert again == written[stop:]
        assert rest < requests


def test_dialogues_are_read_lazily() -> None:
    read = []

    def endless():
        n = 0
        while True:
            read.append(n)
            yield DIALOGUES[n % 40]
            n += 1

    proposals = Prompted(Scripted(five_of, concurrency=2), E).propose(endless(), 5)
    next(proposals)
    proposals.close()
    assert len(read) <= 10


@pytest.mark.parametrize("reason", [TOO_LONG, REFUSED])
def test_a_request_that_is_refused_alone_costs_its_context_alone_and_says_why(reason: str) -> None:
    def refuse_seven(request: Request) -> str:
        if "Is number 7 ready" in request.prompt:
            raise BackendError("no", status=400, reason=reason)
        return five_of(request)

    source = Prompted(Scripted(refuse_seven), E)
    written = list(source.propose(DIALOGUES, 5))
    assert [number for number, responses in enumerate(written) if len(responses) < 5] == [7]
    assert written[7] == ()
    assert source.counts == {reason: 1, "too few": 5}


def test_an_error_of_the_back_end_ends_the_job() -> None:
    def refuse(_: Request) -> str:
        raise BackendError("refused", status=401)

    with pytest.raises(BackendError, match="refused"):
        list(Prompted(Scripted(refuse), E).propose(DIALOGUES, 5))


@pytest.mark.parametrize(
    "language_model", [Embedded(concurrency=3), Transformers(concurrency=3)], ids=lambda lm: type(lm).__name__
)
def test_a_real_language_model_writes_negatives(language_model: Embedded | Transformers) -> None:
    dialogues = list(corpora.read("starter:test"))[:3]
    source = Prompted(language_model, E, demonstration_sets=1)
    written = list(source.propose(dialogues, 5))
    for dialogue, responses in zip(dialogues, written, strict=True):
        forms = [normalised(response) for response in responses]
        assert len(set(forms)) == len(forms)
        assert not set(forms) & {normalised(text) for text in (*dialogue.positives, *dialogue.context)}
    assert sum(map(len, written)) == 15 - source.counts["too few"]
    assert source.tally.contexts == 3
    assert source.tally.prompt_tokens > 3 * 200


@pytest.mark.parametrize(
    ("poison", "fault"),
    [
        (
            r'{"responses": ["A \ud83d broken one", "B \ud83d broken too", "C \ud83d", "D \ud83d", "E \ud83d"]}',
            "no text",
        ),
        ('{"responses": ' + "[" * 100_000, "empty"),
        ("", "empty"),
    ],
)
def test_an_answer_in_a_ledger_that_cannot_be_used_is_a_fault_and_written_again(
    tmp_path: Path, poison: str, fault: str
) -> None:
    good = json.dumps({"responses": [f"Good {word} of them" for word in ("one", "two", "three", "four", "five")]})
    answers = ["____", poison, good]

    def write() -> tuple[tuple[str, ...], dict[str, int], int]:
        with Ledger(tmp_path / "l.sqlite", Run({})) as ledger:
            lm = Scripted(answers, concurrency=1)
            recorded = Recorded(lm, ledger, "chat")
            source = Prompted(recorded, E, structured=True, judged=recorded.judge)
            [responses] = source.propose(DIALOGUES[:1], 5)
            return responses, dict(source.counts), len(lm.requests)

    responses, counts, asked = write()
    assert responses == tuple(f"Good {word} of them" for word in ("one", "two", "three", "four", "five"))
    assert (set(counts), asked) == ({"underscores", fault}, 3)
    assert write() == (responses, counts, 0)
