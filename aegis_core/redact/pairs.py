"""Names with values inside text: ``password=...``, ``"token": "..."``, ``Cookie: ...``, ``--key ...``, ``<secret>``.

The text may itself be JSON, JSON inside JSON, a header, a query string, a command line, YAML or a Python repr. There is
no parser for "any of these", so a pattern finds the name and a small scanner decides how far its value reaches. Where
it cannot tell, it takes more rather than less.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_core.redact.findings import Kind, Span, lazily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_core.redact.names import SecretNames

__all__ = ["pairs"]

_QUOTES = b"\"'`"
_CLOSING = dict(zip(b"{[(", b"}])", strict=True))
_BREAK = re.compile(rb"[\r\n]|\\[nr]")
_BARE_END = re.compile(rb"[\s,;&\"'`<>)\]}|({\[]|\\+(?:[nr\"'`]|\Z)")
_HEADERS = ("authorization", "authorisation", "cookie", "cookies")


def pairs(names: SecretNames) -> Kind:
    """The kind of secret that is one because of the name before it."""
    name = rf"(?i)([a-z0-9_.\-]*(?:{names.stems('[_. -]{0,3}')})[a-z0-9_.\-]*)"
    # `"name": `, `name=`, `name => `; `--name value`; `<name attribute="...">value`
    between = r"(\\*[\"'`]?\s*(?:=>|:=|[:=]|%3[AaDd])\s*|(?:\s[^<>]*)?>|[ \t]+)"

    compiled = lazily((name + between).encode())

    def find(text: bytes) -> Iterator[Span]:
        position = 0
        while match := compiled().search(text, position):
            span = _value(names, text, match.span(1), match.end())
            if span is None or span[0] >= span[1]:
                position = match.end(1)
            else:
                yield span
                position = span[1]

    # Where the name is a key of a JSON object, anything may stand between its words.
    return Kind(rf"(?i:{names.stems('[^a-z0-9]*')})", find)


def _value(names: SecretNames, text: bytes, named: Span, begin: int) -> Span | None:
    """The span of the value that begins at ``begin``, or None if the name is not secret or has no value."""
    start, end = named
    if start and text[start - 1] == 0x5C and text[start] in b"nrtbfv":
        start += 1  # an escaped line break before the name: `\ntoken=`
    name = text[start:end].decode("ascii")
    between = text[end:begin]
    sign = between.strip(b" \t\r\n\\\"'`")
    if not sign:
        return _token(text, begin, b"") if name.startswith("--") and name in names else None
    if sign.endswith(b">") and sign[:1] not in b"=:":
        return (begin, _find(text, b"<", begin)) if text[start - 1 : start] == b"<" and name in names else None
    quoted = between.lstrip(b"\\")[:1] in (b'"', b"'", b"`")
    if name not in names or (name.lower() in ("auth", "pass") and not quoted and sign == b":"):
        return None  # `auth: failed` is prose
    if quoted:
        return _token(text, begin, b"")
    opening = _opening(text, start)
    bare = text[begin : begin + 1] not in (b'"', b"'", b"`", b"\\", b"[", b"{")
    if name.lower().endswith(_HEADERS):
        to_line_end = bare or sign == b":"
    else:
        to_line_end = bare and sign == b":" and _leads(text, start)
    return (begin, _line_end(text, begin, opening)) if to_line_end else _token(text, begin, opening)


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
    line = _BREAK.split(text[max(0, start - 80) : start])[-1]
    return not line.strip(b" \t-#>\"'`\\") and len(line) < 80


def _line_end(text: bytes, begin: int, opening: bytes) -> int:
    found = _BREAK.search(text, begin)
    end = found.start() if found else len(text)
    return _string_end(text, begin, opening, end)[0] if opening else end


def _string_end(text: bytes, begin: int, opening: bytes, limit: int) -> Span:
    r"""Where the string that ``opening`` (backslashes and a quote) began ends: before and after its closing quote.

    JSON in JSON writes a quote as ``\"`` and a quote within that as ``\\\"``: a run of backslashes tells the depth.
    """
    depth = len(opening)  # the backslashes before the opening quote, plus one
    index = begin
    while (index := text.find(opening[-1:], index, limit)) >= 0:
        run = _slashes_before(text, index) + 1
        if run < depth or (run % depth == 0 and run // depth % 2 == 1):
            return max(begin, index + 1 - min(run, depth)), index + 1
        index += 1
    return limit, limit


def _token(text: bytes, begin: int, opening: bytes) -> Span:
    """A quoted string, something in brackets, a call, or a bare word; ``opening`` is the quote that encloses it all."""
    index = begin
    while text[index : index + 1] in (b"b", b"r", b"u", b"f") and text[index + 1 : index + 2] in (b'"', b"'"):
        index += 1  # the prefix of a Python string
    slashes = len(text[index : index + 64]) - len(text[index : index + 64].lstrip(b"\\"))
    quote = text[index : index + slashes + 1]
    if quote[-1:] in (b'"', b"'", b"`") and quote != opening:
        start = index + len(quote)
        return start, _string_end(text, start, quote, len(text))[0]
    found = _BARE_END.search(text, begin)
    if found is None:
        return begin, len(text)
    if text[found.start()] in _CLOSING:
        return begin, _balanced(text, found.start())
    return begin, found.start()


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
            index = _string_end(text, index + 1, text[index - slashes : index + 1], len(text))[1]
            continue
        elif char in b"]})":
            if not expected or expected.pop() != char:
                return index
            if not expected:
                return index + 1
        index += 1
    return len(text)
