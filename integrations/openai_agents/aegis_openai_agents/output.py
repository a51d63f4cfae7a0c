"""What a tool returned, in the shape that the trail and result rules know."""

from __future__ import annotations

from typing import Any

from agents import ToolOutputFileContent, ToolOutputImage, ToolOutputText

__all__ = ["Output"]

_MODELS = (ToolOutputText, ToolOutputImage, ToolOutputFileContent)
_TYPES = frozenset(("text", "image", "file"))


class Output:
    """A tool's output.

    Args:
        value: As the tool returned it.

    Attributes:
        known: What is recorded, and what result rules are applied to: texts, images and files as the content of an MCP
            result, whose text is found and whose form is kept; everything else as it is.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        items = value if isinstance(value, list) else [value]
        blocks = [_block(item) for item in items]
        self._structured = bool(blocks) and None not in blocks
        self.known = {"content": blocks} if self._structured else value

    def after(self, known: Any) -> Any:
        """The output for what result rules left of it: the very one that the tool returned, if that is all of it."""
        if not self._structured:
            return known
        if known == self.known:
            return self._value
        blocks: list[Any] = known["content"]
        return blocks if isinstance(self._value, list) or len(blocks) != 1 else blocks[0]


def _block(item: Any) -> dict[str, Any] | None:
    if isinstance(item, _MODELS):
        return item.model_dump(exclude_none=True)
    return item if isinstance(item, dict) and item.get("type") in _TYPES else None
