"""Rules that rewrite English leave other languages out."""

import pytest
from making import applied, dialogue

from pneg.attack.catalogue import RULES


@pytest.mark.parametrize("name", [name for name, listed in RULES.items() if listed.english])
def test_a_rule_for_english_counts_what_is_in_another_language(name: str) -> None:
    german = dialogue(
        "Ich wohne seit zwei Jahren in Berlin. | Gef\u00e4llt dir die Stadt dort?",
        "Ja, ich mag Berlin sehr gern.",
        id="g",
    )
    english = dialogue("I have lived in Berlin for two years. | Do you like Berlin?", "Yes, I like Berlin.", id="e")
    rule, [none, some] = applied(name, german, english)
    assert none == ()
    assert rule.left_out["not English"] == 1
    assert some != ()
