import asyncio

from pneg.lm import Completion, Request, Sampling, Scripted


def test_it_answers_in_turn_over_and_over_and_remembers_what_it_was_asked() -> None:
    language_model = Scripted(["one", Completion("two", cut=True)])

    async def ask() -> list[Completion]:
        async with language_model.connect() as complete:
            return [await complete(Request(prompt, Sampling(), seed=0)) for prompt in "abc"]

    assert asyncio.run(ask()) == [Completion("one"), Completion("two", cut=True), Completion("one")]
    assert [request.prompt for request in language_model.requests] == ["a", "b", "c"]
