"""Names with values inside text: ``password=...``, ``"token": "..."``, ``Cookie: ...``, ``--api-key ...``, ``<secret>...``.

The text may itself be JSON, JSON inside JSON, a header, a query string, a command line, YAML or a Python repr. There is no
parser for "may be any of these", so a pattern finds the name and a small scanner decides how far its value reaches. Where
it cannot tell, it takes more rather than less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

from aegis_core.redact.findings import Kind, Span, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_core.redact.names import SecretNames

__all__ = ["pairs"]

_QUOTES = b"\"'`"
_CLOSING = {b"{"[0]: b"}"[0], b"["[0]: b"]"[0], b"("[0]: b")"[0]}
_ESCAPED_BREAKS = (b"\\n", b"\\r")


def pairs(names: SecretNames) -> Kind:
    """The kind of secret that is one because of the name before it."""
    name = rf"(?i)([a-z0-9_.\-]*(?:{names.stem})[a-z0-9_.\-]*)"
    # `"name": `, `name=`, `name => `; `--name value`; `<name attribute="...">value`
    between = r"(\\*[\"'`]?\s*(?:=>|:=|[:=]|%3[AaDd])\s*|[ \t]+|(?:\s[^<>]*)?>)"
    compiled = re2.compile((name + between).encode(), options())

    def find(text: bytes) -> Iterator[Span]:
        position = 0
        while match := compiled.search(text, position):
            start, end = match.span(1)
            begin = match.end()
            position = max(end, position + 1)
            if (stop := _value(names, text, start, end, begin)) is not None and stop[1] > stop[0]:
                yield stop
                position = stop[1]

    return Kind(rf"(?i:{names.stem})", find)


def _value(names: SecretNames, text: bytes, start: int, end: int, begin: int) -> Span | None:
    """The span of the value of the name at ``start:end``, or None if it is not secret or has no value."""
    between = text[end:begin]
    if text[start - 1 : start] == b"\\" and text[start : start + 1] in b"nrtbfv":
        start += 1  # an escaped line break before the name: `\ntoken=`
    name = text[start:end].decode("ascii")
    quoted = between.lstrip(b"\\")[:1] in (b'"', b"'", b"`")
    sign = between.strip().strip(b"\\\"'` \t")
    if sign == b"" and not name.startswith("--"):
        return None  # `the token was refused`
    if sign.endswith(b">") and not sign.startswith((b"=", b":")):
        if text[start - 1 : start] != b"<":
            return None
        return begin, _find(text, b"<", begin)
    if name.strip("-").lower() in ("auth", "pass") and not quoted and sign != b"=":
        return None  # `auth: failed`
    if name not in names:
        return None
    opening = _opening(text, start)
    if name.lower().endswith(("authorization", "cookie", "cookies")) or (sign == b":" and not quoted and _leads(text, start)):
        plain_value = text[begin : begin + 1] not in b"\"'`\\[{"
        if plain_value or not quoted:
            return begin, _line_end(text, begin, opening)
    return _token(text, begin, opening)


def _find(text: bytes, what: bytes, start: int) -> int:
    found = text.find(what, start)
    return len(text) if found < 0 else found


def _opening(text: bytes, start: int) -> bytes:
    """The quote that stands directly before a name, with its backslashes, or nothing."""
    if text[start - 1 : start] and text[start - 1] in _QUOTES:
        slashes = _slashes_before(text, start - 1)
        return text[start - 1 - slashes : start]
    return b""


def _slashes_before(text: bytes, index: int) -> int:
    count = 0
    while index - count > 0 and text[index - count - 1] == 0x5C:
        count += 1
    return count


def _leads(text: bytes, start: int) -> bool:
    """Whether a name is the first thing on its line, as in YAML and headers."""
    line = text[max(text.rfind(b"\n", 0, start), text.rfind(b"\\n", 0, start) + 1) + 1 : start]
    return not line.strip(b" \t-#>\"'\\")


def _line_end(text: bytes, begin: int, opening: bytes) -> int:
    ends = [_find(text, mark, begin) for mark in (b"\n", b"\r", *_ESCAPED_BREAKS)]
    if opening:
        ends.append(_string_end(text, begin, opening)[0])
    return min(ends)


def _string_end(text: bytes, begin: int, opening: bytes) -> Span:
    """Where the string that ``opening`` (backslashes and a quote) began ends: before and after its closing quote.

    JSON in JSON writes a quote as ``\\"`` and a quote within that as ``\\\\\\"``: a run of backslashes tells the depth.
    """
    quote = opening[-1:]
    depth = len(opening)  # backslashes before the opening quote, plus one
    index = begin
    while (index := text.find(quote, index)) >= 0:
        slashes = _slashes_before(text, index)
        if slashes + 1 < depth or ((slashes + 1) % depth == 0 and (slashes + 1) // depth % 2 == 1):
            return max(begin, index - min(slashes, depth - 1)), index + 1
        index += 1
    return len(text), len(text)


def _token(text: bytes, begin: int, opening: bytes) -> Span:
    """A quoted string, something in brackets, a call, or a bare word."""
    index = begin
    while text[index : index + 1] in (b"b", b"r", b"u", b"f") and text[index + 1 : index + 2] in (b'"', b"'"):
        index += 1  # the prefix of a Python string
    slashes = 0
    while text[index + slashes : index + slashes + 1] == b"\\":
        slashes += 1
    if text[index + slashes : index + slashes + 1] in (b'"', b"'", b"`"):
        quote = text[index : index + slashes + 1]
        if quote != opening or text[begin - 1 : begin] in b" :=":
            return index + len(quote), _string_end(text, index + len(quote), quote)[0]
    while index < len(text):
        char = text[index]
        if char in _CLOSING:
            return begin, _balanced(text, index)
        if char in b" \t\r\n,;&\"'`<>)]}|" or (char == 0x5C and text[index : index + 2] in _ESCAPED_BREAKS):
            break
        if char == 0x5C and text[index:].lstrip(b"\\")[:1] in (b'"', b"'"):
            break
        index += 1
    return begin, index


def _balanced(text: bytes, begin: int) -> int:
    """The end of the brackets that open at ``begin``; brackets within strings do not count."""
    expected: list[int] = []
    index = begin
    while index < len(text):
        char = text[index]
        if char in _CLOSING:
            expected.append(_CLOSING[char])
        elif char in _QUOTES:
            slashes = _slashes_before(text, index)
            index = _string_end(text, index + 1, text[index - slashes : index + 1])[1]
            continue
        elif char in b"]})":
            if not expected or expected.pop() != char:
                return index
            if not expected:
                return index + 1
        index += 1
    return len(text)
