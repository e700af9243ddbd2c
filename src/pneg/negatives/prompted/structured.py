"""Answers as JSON, for a chat model that keeps no order in a list."""

import json


def schema(count: int) -> str:
    """The JSON schema of an answer that holds `count` responses."""
    responses = {"type": "array", "items": {"type": "string"}, "minItems": count, "maxItems": count}
    return json.dumps(
        {
            "type": "object",
            "properties": {"responses": responses},
            "required": ["responses"],
            "additionalProperties": False,
        }
    )


def numbered(answer: str, first: int) -> str:
    """The responses in a JSON answer as they would stand behind the number `first`.

    A text that is no JSON is left as it is, for a server that takes no notice of the schema; JSON of another form, or
    cut off, holds nothing.
    """
    try:
        responses = json.loads(answer)["responses"]
    except (ValueError, LookupError, TypeError, RecursionError):
        responses = None
    if not isinstance(responses, list) or not all(isinstance(text, str) for text in responses):
        return "" if answer.lstrip()[:1] in ("{", "[") else answer
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(responses, first)]
    return "\n".join(lines).removeprefix(f"{first}.")
