"""Words, content words and sentences."""

from pneg.negatives.words import content_words, sentences, words


def test_words_are_in_lower_case_and_keep_their_apostrophe() -> None:
    assert words("Don\u2019t you, Mr. O'Neill? 3 x_y") == ["don't", "you", "mr", "o'neill", "3", "x", "y"]


def test_content_words_are_no_stop_words_no_numbers_and_not_said_twice() -> None:
    assert content_words("The old lake and the OLD boat: isn't it 1999, I say?") == ["old", "lake", "boat", "say"]
    assert content_words("Plan B, x lakes") == ["plan", "lakes"], "a letter is no word of content"


def test_sentences_end_with_their_mark() -> None:
    text = "Well... Really?! I see.  Mr Smith left"
    assert [text[start:end] for start, end in sentences(text)] == ["Well...", "Really?!", "I see.", "Mr Smith left"]
    assert sentences("Yes. ") == [(0, 4)]
