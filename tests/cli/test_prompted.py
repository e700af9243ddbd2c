"""What `pneg negatives prompted` asks a server for, what it keeps of the answers, and what it shows meanwhile."""

import json
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from running import Ran, Run

import chaos
from pneg import Dialogue, write
from pneg.cli.backend import Backend
from pneg.lm import Ledger
from pneg.lm import Run as Written

Asking = Callable[..., list[dict[str, Any]]]
KEY = "sk-a-key-that-must-not-be-seen"
BLOCK = "###\n"


def command(server: chaos.Server, *words: object, source: object = "starter:test") -> list[object]:
    return ["negatives", "prompted", source, "-o", "out.jsonl", "--lm", server.url, "--model", "m", "--json", *words]


@pytest.fixture
def asking(pneg: Run) -> Asking:
    """Runs the command with more words, and a ledger of its own, and gives what the server was asked."""
    ledgers = count()

    def run(*words: object, source: object = "starter:test") -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        def plan(_: int, asked: dict[str, Any]) -> None:
            seen.append(asked)

        with chaos.serving(chaos.Server(plan)) as server:
            ran = pneg(*command(server, "--force", "--ledger", f"{next(ledgers)}.sqlite", *words, source=source))
        assert ran.status == 0, ran.err
        return seen

    return run


def demonstrations(asked: list[dict[str, Any]]) -> set[str]:
    """All that were shown in the prompts."""
    return {shown for request in asked for shown in request["prompt"].split(BLOCK)[1:-1]}


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_so_many_demonstrations_are_shown_as_shots_are_asked_for(asking: Asking, shots: int) -> None:
    asked = asking("--limit", 6, "--shots", shots)
    assert len(asked) >= 6
    assert {request["prompt"].count(BLOCK) for request in asked} == {shots + 1}


def test_two_are_shown_and_no_positive_unless_other_words_are_given(asking: Asking) -> None:
    asked = asking("--limit", 6)
    assert {request["prompt"].count(BLOCK) for request in asked} == {3}
    assert not any("Relevant response:" in request["prompt"] for request in asked)
    asked = asking("--limit", 6, "--instruction", "positive")
    assert {request["prompt"].count("\nRelevant response: ") for request in asked} == {3}


def test_a_fraction_of_the_examples_is_shown_and_it_lies_within_a_larger_one(asking: Asking) -> None:
    few, more, others = (
        demonstrations(asking("--limit", 60, "--example-fraction", fraction, "--seed", seed))
        for fraction, seed in ((0.01, 0), (0.02, 0), (0.01, 1))
    )
    # of 300; 60 prompts of two leave one of 3 or of 6 out with a chance below one in a billion
    assert (len(few), len(more), len(others)) == (3, 6, 3)
    assert few < more
    assert others != few


def test_sets_of_demonstrations_are_shared_by_the_prompts(asking: Asking) -> None:
    assert len(demonstrations(asking("--limit", 30, "--demonstration-sets", 2))) == 2


def test_what_was_written_is_shown_later_where_it_is_to_be_reused(asking: Asking) -> None:
    write(
        "many.jsonl",
        [Dialogue(str(n), (f"Is number {n} ready?", "Not yet."), ("It will be soon.",)) for n in range(140)],
    )
    assert not any("Is number" in shown for shown in demonstrations(asking(source="many.jsonl")))
    assert any("Is number" in shown for shown in demonstrations(asking("--reuse", "--shots", 2, source="many.jsonl")))


@pytest.mark.parametrize("schema", [[], ["--schema"]])
def test_a_chat_endpoint_is_asked_for_json_only_where_it_is_asked_again(pneg: Run, schema: list[str]) -> None:
    asked_for_json: list[bool] = []

    def plan(number: int, asked: dict[str, Any]) -> chaos.Fault:
        assert [message["role"] for message in asked["messages"]][-1] == "user"
        asked_for_json.append("response_format" in asked)
        good = ["I like cats.", "The sea is deep.", "Buy a boat.", "Sell a car.", "Eat some soup."]
        listed = "\n".join(f"{place}. {text}" for place, text in enumerate(good, 1))
        content = json.dumps({"responses": good}) if asked_for_json[-1] else listed if number else "____"
        return chaos.saying(json.dumps({"choices": [{"message": {"content": content}}]}).encode())

    with chaos.serving(chaos.Server(plan)) as server:
        ran = pneg(*command(server, "--endpoint", "chat", *schema, "--limit", 1))
    assert ran.status == 0, ran.err
    assert asked_for_json == [False, bool(schema)]


def test_another_output_asks_for_nothing_and_other_words_for_all(pneg: Run) -> None:
    def job(server: chaos.Server, out: str, *words: object) -> tuple[int, int]:
        ran = pneg(*command(server, "--ledger", "l.sqlite", "--limit", 10, "-o", out, *words))
        assert ran.status == 0, ran.err
        found = json.loads(ran.out)
        return found["requests"], found["from_ledger"]

    with chaos.serving(chaos.Server()) as server:
        requests, known = job(server, "one.jsonl")
        assert known == 0
        assert job(server, "two.jsonl") == (requests, requests)
        assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
        for place, words in enumerate(
            (["--temperature", 0.7], ["--model", "n"], ["--instruction", "positive"], ["--shots", 1], ["--seed", 1])
        ):
            assert job(server, f"{place}.jsonl", *words)[1] == 0


def test_a_ledger_on_a_full_disk_stops_the_job_and_with_room_it_goes_on(
    pneg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Ledger):
        """On a disk with room for some of the answers."""

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._writer.execute("PRAGMA max_page_count = 7")

    with chaos.serving(chaos.Server()) as server:
        whole = pneg(*command(server, "-o", "whole.jsonl", "--limit", 60))
        needed = set(server.asked)
        server.asked.clear()
        words = command(server, "--limit", 60, "--concurrency", 4)
        with monkeypatch.context() as patch:
            patch.setattr("pneg.lm.Ledger", Full)
            stopped = pneg(*words)
        assert 10 < sum(server.asked.values()) < len(needed) - 10
        again = pneg(*words)
    assert (whole.status, stopped.status, again.status) == (0, 1, 0)
    assert stopped.says.endswith(
        "out.jsonl.ledger.sqlite: the disk is full; nothing that was answered before is lost; "
        "make room and give the same command again"
    )
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert set(server.asked) == needed
    assert sum(server.asked.values()) - len(needed) <= 4  # what was in flight


def test_a_ledger_that_another_process_has_locked_stops_the_job(pneg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneg.lm.Ledger", partial(Ledger, patience=0.05))
    with Ledger(Path("l.sqlite"), Written({})):
        pass
    with closing(sqlite3.connect("l.sqlite", isolation_level=None)) as other, chaos.serving(chaos.Server()) as server:
        other.execute("BEGIN IMMEDIATE")
        ran = pneg(*command(server, "--ledger", "l.sqlite", "--limit", 5))
    assert (ran.status, server.times) == (1, [])
    assert ran.says == (
        "pneg: l.sqlite: another process has locked it; wait for that to end and give the same command again, or "
        "choose another --ledger"
    )


def test_what_is_secret_is_in_no_file_and_in_nothing_that_is_said(
    pneg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with chaos.serving(chaos.Server(lambda number, _: chaos.refusing(503, KEY) if number == 3 else None)) as server:
        words = command(server, "--limit", 10)
        words[words.index(server.url)] = server.url.replace("://", "://user:a-secret@")
        done = pneg(*words)
        words[words.index("out.jsonl")] = "other.jsonl"
        server.plan = lambda _, __: chaos.refusing(401, f"who is {KEY}")
        refused = pneg(*words)
    assert (done.status, refused.status) == (0, 1)
    assert (tmp_path / "other.jsonl.unfinished").exists()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file()).decode(errors="replace")
    for said in (kept, *(part for ran in (done, refused) for part in (ran.out, ran.err))):
        assert KEY not in said
        assert "a-secret" not in said


def test_a_back_end_does_not_show_the_password_in_its_address() -> None:
    found = Backend(
        lm="https://user:a-secret@host/v1", model="m", endpoint="completions", schema=False, batch=False,
        concurrency=2, timeout=60.0, patience=60.0, ledger=None, price_in=None, price_out=None, budget=None,
    )  # fmt: skip
    assert "a-secret" not in repr(found) + json.dumps(found.settings)
    assert found.settings["lm"] == "https://host/v1"


def test_a_server_that_reports_hits_is_not_complained_of(pneg: Run) -> None:
    with chaos.serving(chaos.Server()) as server:
        ran = pneg(*command(server, "--limit", 30, "--demonstration-sets", 1))
    found = json.loads(ran.out)
    assert found["cached_tokens"] == chaos.CACHED_TOKENS * found["requests"]
    assert "cached" not in ran.err


def test_the_bar_shows_speed_cost_faults_and_the_share_of_cached_tokens(
    pneg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # a log gets a line every half a minute
    with chaos.serving(chaos.Server(delay=0.1)) as server:
        prices = ("--price-in", 100, "--price-out", 500)
        ran = pneg(*command(server, "--limit", 12, "--concurrency", 1, *prices))
    shown = re.findall(r"[\d.]+(?:context/s|s/context), \$([\d.]+), faults (\d+)%, cached 40%", ran.err)
    assert shown, ran.err
    # 100 tokens read and 20 written cost 0.02 dollars
    assert all(Decimal(cost) % Decimal("0.02") == 0 for cost, _ in shown)
    assert Decimal(0) < Decimal(shown[-1][0]) <= Decimal(json.loads(ran.out)["dollars"])


def dry(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_a_dry_run_counts_with_the_tokenizer_of_the_model(
    pneg: Run, asking: Asking, language_models: dict[str, Path]
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(language_models["gpt2"])
    first = [request["prompt"] for request in asking("--limit", 6) if request["prompt"].endswith("\n1.")]
    prompts = {prompt.rpartition(BLOCK)[2]: prompt for prompt in first}
    assert len(prompts) == 6
    tokens = sum(len(tokenizer(prompt)["input_ids"]) for prompt in prompts.values())
    words = ["negatives", "prompted", "starter:test", "-o", "dry.jsonl", "--lm", "http://127.0.0.1:9/v1", "--json"]
    found = dry(pneg(*words, "--limit", 6, "--dry-run", "--model", language_models["gpt2"]))
    assert found["exact_tokens"] is True
    # a quarter of the answers is assumed to be faulty: 4/3 requests a context
    assert found["prompt_tokens"] == pytest.approx(tokens * 4 / 3, abs=1)


def test_a_dry_run_knows_the_published_price_and_that_of_a_batch(pneg: Run) -> None:
    words = [
        "negatives",
        "prompted",
        "starter:test",
        "-o",
        "dry.jsonl",
        "--lm",
        "https://api.openai.com/v1",
        "--json",
    ]
    words += ["--model", "gpt-4o-mini", "--limit", "40", "--dry-run"]
    found = dry(pneg(*words))
    cost = (Decimal("0.15") * found["prompt_tokens"] + Decimal("0.60") * found["completion_tokens"]) / 1_000_000
    assert Decimal(found["dollars"]) == cost.quantize(Decimal("0.0001")) > 0
    half = dry(pneg(*words, "--batch"))
    assert Decimal(half["dollars"]) == (cost / 2).quantize(Decimal("0.0001"))
