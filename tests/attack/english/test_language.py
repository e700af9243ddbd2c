import pytest

from pneg.attack.english.language import is_english

ENGLISH = ["Are you hungry?", "i do not . do i need one ?", "No, thanks. I have to go home.", "What time is it?"]
OTHERS = [
    "Hast du heute Abend Zeit, mit uns ins Kino zu gehen?",
    "Je voudrais un billet pour Paris, s'il vous pla\u00eet.",
    "\u00bfTienes hambre? Vamos a comer algo.",
    "Heb je zin om in het weekend te gaan fietsen?",
    "Vuoi venire con noi al mare domani?",
    "\ub108\ubb34 \ud798\ub4e4\ub2e4. \uc624\ub298 \ubb50 \ud588\uc5b4\uc694?",
    "12 34 !",
]


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_known(text: str) -> None:
    assert is_english([text])


@pytest.mark.parametrize("text", OTHERS)
def test_other_languages_are_not_taken_for_english(text: str) -> None:
    assert not is_english([text])
