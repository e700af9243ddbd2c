"""Forms of frequent English verbs: the base of an inflected form, and the other way about."""

IRREGULAR = {
    base: (past, participle)
    for base, past, participle in (
        line.split()
        for line in """
        be was been/become became become/begin began begun/bite bit bitten/break broke broken/bring brought brought
        build built built/buy bought bought/catch caught caught/choose chose chosen/come came come/cost cost cost
        cut cut cut/deal dealt dealt/do did done/draw drew drawn/drink drank drunk/drive drove driven/eat ate eaten
        fall fell fallen/feed fed fed/feel felt felt/fight fought fought/find found found/fly flew flown
        forget forgot forgotten/forgive forgave forgiven/get got got/give gave given/go went gone/grow grew grown
        hang hung hung/have had had/hear heard heard/hide hid hidden/hit hit hit/hold held held/hurt hurt hurt
        keep kept kept/know knew known/lead led led/leave left left/lend lent lent/let let let/lose lost lost
        make made made/mean meant meant/meet met met/pay paid paid/put put put/quit quit quit/read read read
        ride rode ridden/ring rang rung/run ran run/say said said/see saw seen/sell sold sold/send sent sent
        set set set/shoot shot shot/show showed shown/shut shut shut/sing sang sung/sit sat sat/sleep slept slept
        speak spoke spoken/spend spent spent/stand stood stood/steal stole stolen/swim swam swum/take took taken
        teach taught taught/tell told told/think thought thought/throw threw thrown/understand understood understood
        wake woke woken/wear wore worn/win won won/write wrote written
        """.replace("\n", "/").split("/")
        if line.strip()
    )
}
"""Past and participle by base."""

REGULAR = frozenset(
    "accept add admire advise agree allow answer apologize appreciate argue arrange arrive ask attend avoid bake "
    "believe belong book borrow bother brush call camp cancel care carry celebrate change chat check clean climb "
    "close collect compare complain contact continue cook cough count cover cry cycle dance decide deliver deserve "
    "die disagree discover discuss dislike dream dress drop earn end enjoy exercise expect explain fail feature fill "
    "finish fish fix follow garden greet guess happen hate help hike hope hunt improve invite jog join joke jump "
    "kick kiss knit laugh learn lie like listen live look love manage marry matter mention mind miss move need "
    "notice offer open order own pack paint park pass pick plan plant play prefer prepare promise pull push race "
    "reach realize recommend refuse regret relax remember rent repair reply report require reserve respect rest "
    "retire return save seem share shop shout sign ski smell smile smoke sound start stay stop study suffer suggest "
    "suppose surf talk taste thank touch train travel treat trust try turn use visit volunteer wait walk want wash "
    "waste watch wish wonder work worry".split()
)
"""Bases whose past ends in -ed."""


def _third(base: str) -> str:
    if base in ("have", "be"):
        return {"have": "has", "be": "is"}[base]
    if base.endswith(("s", "sh", "ch", "x", "z", "o")):
        return base + "es"
    return base[:-1] + "ies" if base.endswith("y") and base[-2] not in "aeiou" else base + "s"


def _past(base: str) -> str:
    if base in _DOUBLED:
        return base + base[-1] + "ed"
    if base.endswith("e"):
        return base + "d"
    return base[:-1] + "ied" if base.endswith("y") and base[-2] not in "aeiou" else base + "ed"


_DOUBLED = frozenset("admit chat drop hug jog knit plan prefer regret shop stop".split())
_BASES = REGULAR | IRREGULAR.keys() - {"be"}
THIRD = {base: _third(base) for base in _BASES}
"""The form after `she`, by base."""
PAST = {base: IRREGULAR[base][0] if base in IRREGULAR else _past(base) for base in _BASES}
"""The simple past, by base."""
PARTICIPLES = frozenset({IRREGULAR[base][1] if base in IRREGULAR else _past(base) for base in _BASES} | {"been"})
"""Past participles."""
FORMS: dict[str, tuple[str, str]] = {
    **{PAST[base]: (base, "did") for base in _BASES},
    **{THIRD[base]: (base, "does") for base in _BASES},
    **{base: (base, "do") for base in _BASES},
}
"""The base of a form, and the form of `do` that takes over its tense; a past that is also a base is a base here."""
