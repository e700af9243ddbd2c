"""What a job will take, worked out by hand."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from pneg.errors import BackendError
from pneg.lm import Completion, Ledger, Price, Recorded, Request, Run, Sampling, Scripted
from pneg.lm.estimate import Counted, Habits, estimate, guessed, habits, tokenizer
from pneg.lm.recorded import answers


def test_tokens_dollars_and_hours() -> None:
    counted = Counted(Scripted(["one"], concurrency=10), len)

    async def ask() -> None:
        async with counted.connect() as complete:
            for seed in range(1_000):
                with pytest.raises(BackendError, match="only counted"):
                    await complete(Request("x" * 300, Sampling(max_tokens=240), seed))

    asyncio.run(ask())
    found = estimate(
        counted, Habits(written=100, seconds=9, faulty=0.5), Price(Decimal(1), Decimal(1), Decimal(2)), 3
    )
    # 1 + 1/2 + 1/4 requests a context
    assert (found.contexts, found.requests) == (1_000, 1_750)
    assert (found.prompt_tokens, found.completion_tokens) == (525_000, 175_000)
    assert found.dollars == Decimal("0.875")
    assert found.dollars_at_most == Decimal("0.9") + Decimal("1.44")
    assert found.hours == pytest.approx(1_750 * 9 / 10 / 3_600)
    # five times as many for a context that needs five
    found = estimate(
        counted, Habits(written=100, seconds=9, faulty=0.5), Price(Decimal(1), Decimal(1), Decimal(2)), 3, each=5
    )
    assert (found.contexts, found.requests, found.dollars) == (1_000, 8_750, Decimal("4.375"))


def test_what_a_ledger_has_is_free_and_answered_as_it_was(tmp_path: Path) -> None:
    path, lm = tmp_path / "l.sqlite", Scripted(["one", "two"])
    known, refused, new = (Request("x" * 300, Sampling(), seed) for seed in range(3))

    async def ask() -> list[str]:
        with Ledger(path, Run({})) as ledger:
            recorded = Recorded(lm, ledger, "chat")
            async with recorded.connect() as complete:
                await complete(known)
            await ledger.record(recorded.key(refused), refused, Completion(""), 1.0, "refused by the server")
        said: list[str] = []
        for form in ("chat", "completions"):
            with answers([tmp_path / "none.sqlite", path], lm, form) as find:
                counted = Counted(lm, len, find)
                async with counted.connect() as complete:
                    said.append((await complete(known)).text if form == "chat" else "")
                    for request in (refused, new):
                        with pytest.raises(BackendError) as caught:
                            await complete(request)
                        said.append(caught.value.reason)
            said.append(f"{counted.had}, {counted.requests}, {counted.prompt_tokens}")
        return said

    other = ["", "not asked for", "not asked for", "0, 2, 600"]
    assert asyncio.run(ask()) == ["one", "refused by the server", "not asked for", "2, 1, 300", *other]
    with answers([tmp_path / "none.sqlite"], lm) as find:
        assert find(known) is None
    assert not (tmp_path / "none.sqlite").exists()


def test_habits_are_measured_on_a_ledger_that_has_enough(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    assert habits(path) == Habits()
    with Ledger(path, Run({})) as ledger:
        recorded = Recorded(Scripted([Completion("a", False, 10, 30), Completion("a", False, 10, 50)]), ledger)

        async def ask() -> None:
            async with recorded.connect() as complete:
                for seed in range(100):
                    request = Request("x", Sampling(), seed)
                    await complete(request)
                    recorded.judge(request, ["empty"] if seed < 20 else [])

        asyncio.run(ask())
    found = habits(path)
    assert (found.written, found.faulty, found.seen) == (40.0, 0.2, 100)


def test_a_models_own_tokenizer_counts_exactly(language_models: dict[str, Path]) -> None:
    import transformers

    text = "Dialogue context: are you hungry?\n1."
    count = tokenizer(str(language_models["gpt2"]))
    assert count is not None
    assert count(text) == len(transformers.AutoTokenizer.from_pretrained(language_models["gpt2"])(text).input_ids)


def test_without_one_it_is_guessed() -> None:
    assert tokenizer("gpt-nobody-knows") is None
    assert [guessed(text) for text in ("", "abcd", "abcde")] == [0, 1, 2]
