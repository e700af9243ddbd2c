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
    """The responses in a JSON answer as they would stand behind the number `first`; what is no such JSON as it is."""
    try:
        responses: list[str] = json.loads(answer)["responses"]
        if not isinstance(responses, list):
            return answer
        lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(responses, first)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return answer
    return "\n".join(lines).removeprefix(f"{first}.")
