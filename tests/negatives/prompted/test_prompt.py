"""The prompt is that of Appendix G of the paper, character for character."""

from pneg import Dialogue
from pneg.negatives.prompted import prompt

GOLDEN = '''\
###
Dialogue context:
"""
A: How about taking the damaged portion at a lower price?
B: What kind of price did you want?
A: I was thinking of 30% off.
"""
Create five irrelevant responses containing keywords of the given dialogue context:
1. I have not completed the portions of the children, ...
2. Shall I inquire about the price of the plane tickets ...
3. I have been thinking up new ways of supplying money ...
4. My car roof was not damaged in the accident.
5. I purchased a different kind of dress in the shopping mall ...
###
Dialogue context:
"""
A: No, but that was a random change of subject.
B: It may have been random, but have you?
A: I haven\u2019t lately.
"""
Create five irrelevant responses containing keywords of the given dialogue context:
1. Yeah, Our society is annoying. They keep on changing ...
2. I am not sure which subject I am going to take. Lately, ...
3. I don\u2019t know that day Prof. Lesley was randomly picking up ...
4. Today In college some random guy came and started talking ...
5. Have you seen Tina lately? I am feeling weird as ...
###
Dialogue context:
"""
A: Paul, a company called me for an interview.
B: That\u2019s great! You need to prepare for it.
A: How?
"""
Create five irrelevant responses containing keywords of the given dialogue context:
1.'''

FIRST = Dialogue(
    "1",
    (
        "How about taking the damaged portion at a lower price?",
        "What kind of price did you want?",
        "I was thinking of 30% off.",
    ),
    (),
    {
        "human": (
            "I have not completed the portions of the children, ...",
            "Shall I inquire about the price of the plane tickets ...",
            "I have been thinking up new ways of supplying money ...",
            "My car roof was not damaged in the accident.",
            "I purchased a different kind of dress in the shopping mall ...",
            "A sixth response is not shown.",
        )
    },
)
SECOND = Dialogue(
    "2",
    (
        "No, but that was a random change of subject.",
        "It may have been random, but have you?",
        "I haven\u2019t lately.",
    ),
    (),
    {
        "human": (
            "Yeah, Our society is annoying. They keep on changing ...",
            "I am not sure which subject I am going to take. Lately, ...",
            "I don\u2019t know that day Prof. Lesley was randomly picking up ...",
            "Today In college some random guy came and started talking ...",
            "Have you seen Tina lately? I am feeling weird as ...",
        )
    },
)
TARGET = Dialogue(
    "3",
    ("Paul, a company called me for an interview.", "That\u2019s great! You need to prepare for it.", "How?"),
    ("You need to know something about the company.",),
)


def test_the_prompt_of_appendix_g() -> None:
    assert prompt.build([FIRST, SECOND], TARGET, 5) == GOLDEN


def test_what_was_kept_stands_in_the_prompt_and_the_next_number_is_asked_for() -> None:
    kept = ["I don\u2019t know how to handle an interview.", "How could I prepare for the interview?"]
    assert prompt.build([FIRST, SECOND], TARGET, 5, kept) == GOLDEN + (
        " I don\u2019t know how to handle an interview.\n2. How could I prepare for the interview?\n3."
    )


def test_a_turn_with_line_breaks_stays_one_line() -> None:
    assert "A: one two\n" in prompt.build([], Dialogue("4", ("one\n two",), ()), 5)


def test_another_count_is_asked_for_in_words() -> None:
    assert "Create three irrelevant responses" in prompt.build([], Dialogue("4", ("Hello.",), ()), 3)
    assert prompt.stops(3)[0] == "\n4."


def test_the_positive_instruction_of_appendix_i_shows_the_first_positive_in_every_example() -> None:
    first, second = (
        Dialogue(example.id, example.context, (f"Positive {example.id}", "Another"), example.negatives)
        for example in (FIRST, SECOND)
    )
    asked = "Create five irrelevant"
    golden, *parts = GOLDEN.split(asked)
    for part, positive in zip(parts, ["Positive 1", "Positive 2", TARGET.positives[0]], strict=True):
        golden += f"Relevant response: {positive}\n{asked}{part}"
    assert prompt.build([first, second], TARGET, 5, instruction="positive") == golden


def test_the_implicit_instruction_of_appendix_i_tells_what_whose_turn_it_is_says() -> None:
    b_speaks = '''\
###
Dialogue context:
"""
A: Paul, a company called me for an interview.
B: That\u2019s great! You need to prepare for it.
A: How?
"""
Suddenly, B makes an awkward response. The response appears to be okay at first glance, but it's irrelevant to \
the conversation.
B:'''
    assert prompt.build([FIRST], TARGET, 5, ["kept"], "implicit") == b_speaks
    a_speaks = prompt.build([], Dialogue("4", TARGET.context[:2], ()), 5, instruction="implicit")
    assert a_speaks.endswith(
        "\nSuddenly, A makes an awkward response." + b_speaks.split("response.", 1)[1][:-2] + "A:"
    )
    assert "\n" in prompt.stops(5, "implicit")


def test_persona_sentences_stand_before_the_turns() -> None:
    built = prompt.build([], Dialogue("4", ("Hello.",), (), {}, ("I like tea.", "I am  tall.")), 5)
    assert built.startswith('###\nDialogue context:\n"""\nI like tea.\nI am tall.\nA: Hello.\n"""\n')
