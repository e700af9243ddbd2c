"""PersonaChat (Zhang et al. 2018), as ConvAI2's text with or without candidates and as JSON lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pneg.dialogue import Dialogue, OnBad, decoded, lines, read_lines
from pneg.errors import DataError

OWN, PARTNER = "your persona: ", "partner's persona: "


class _Entry(msgspec.Struct):
    id: str
    persona: tuple[str, ...]
    dialogue: tuple[str, ...]


_decode = msgspec.json.Decoder(_Entry).decode


def recognises(first: bytes) -> bool:
    """Whether a file that begins with this line is PersonaChat, in either form."""
    if first.startswith(b"{"):
        return b'"persona"' in first and b'"dialogue"' in first
    number, _, rest = first.partition(b" ")
    return number.isdigit() and (rest.startswith((OWN.encode(), PARTNER.encode())) or b"\t" in rest)


def read(path: Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read one dialogue a conversation: the last turn is the positive, all earlier turns are the context.

    The last turn is always spoken by the one whose `persona` is given. In the text form with candidates, those
    of the last turn become `negatives["random"]`: they are turns of other conversations. A conversation with a bad
    line is left out whole.
    """
    _, first = next(lines(path), (0, b""))
    if first.startswith(b"{"):
        return read_lines(path, _from_json, on_bad)
    return _read_text(path, on_bad)


def _from_json(line: bytes, _: int) -> Dialogue:
    entry = decoded(_decode, line, "expected an object with id, persona, dialogue")
    if len(entry.dialogue) < 2:
        raise DataError(f"a conversation of {len(entry.dialogue)} turns", "expected two or more")
    return Dialogue(entry.id, entry.dialogue[:-1], entry.dialogue[-1:], persona=entry.persona)


@dataclass(slots=True)
class _Conversation:
    persona: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    broken: bool = False


def _read_text(path: Path, on_bad: OnBad | None) -> Iterator[Dialogue]:
    conversation, count = _Conversation(), 0
    for number, line in lines(path):
        try:
            place, _, rest = line.decode().partition(" ")
            if not place.isdigit() or not rest:
                raise DataError("no number at the beginning")
            if place == "1":
                if conversation.turns and not conversation.broken:
                    yield _finished(conversation, path, count)
                count += bool(conversation.turns)
                conversation = _Conversation()
            _add(conversation, rest)
        except (UnicodeDecodeError, DataError) as error:
            found = error.found if isinstance(error, DataError) else "a byte that is not UTF-8"
            located = DataError(found, "expected ConvAI2's text", file=path, line=number)
            if on_bad is None:
                raise located from error
            conversation.broken = True
            on_bad(located, line)
    if conversation.turns and not conversation.broken:
        yield _finished(conversation, path, count)


def _add(conversation: _Conversation, rest: str) -> None:
    if rest.startswith(OWN):
        sentence = rest.removeprefix(OWN)
        if not sentence.strip():
            raise DataError("a blank sentence of the persona")
        conversation.persona.append(sentence)
        return
    if rest.startswith(PARTNER):
        return
    said, tab, behind = rest.partition("\t")
    answer, *more = behind.split("\t")
    if not tab or not said.strip() or not answer.strip():
        raise DataError("no turn and answer with a tab between")
    conversation.turns += [said, answer]
    conversation.candidates = more[-1].split("|") if more else []


def _finished(conversation: _Conversation, path: Path, count: int) -> Dialogue:
    *context, answer = conversation.turns
    others = tuple(text for text in conversation.candidates if text.strip() and text != answer)
    return Dialogue(
        f"{path.stem}-{count}",
        tuple(context),
        (answer,),
        {"random": others} if others else {},
        tuple(conversation.persona),
    )
