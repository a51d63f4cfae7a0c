"""Where the secrets are in a piece of text. Works on UTF-8 bytes, in linear time, and never raises.

Each kind of secret is a `Kind`: a cheap trigger that every occurrence contains, and a function that finds the spans to
mask. Kinds are looked for independently of each other and what they find is united, so none can hide another.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import re2

__all__ = ["KINDS", "Find", "Kind", "Span", "is_card", "matches", "options"]

Span = tuple[int, int]
Find = Callable[[bytes], Iterator[Span]]


class Kind(NamedTuple):
    """One kind of secret.

    Attributes:
        trigger: RE2 pattern found in every text that holds such a secret, also when the text is escaped as JSON.
        find: Yields the spans to mask.
    """

    trigger: str
    find: Find


def options() -> re2.Options:
    """Quiet options: a pattern that does not compile is reported by an exception, not on stderr."""
    chosen = re2.Options()
    chosen.log_errors = False
    return chosen


def lazily(pattern: bytes) -> Callable[[], Any]:
    """An RE2 pattern that is compiled when it is first needed, which most never are: a gate comes before them."""
    return functools.cache(lambda: re2.compile(pattern, options()))


def matches(pattern: bytes, group: int = 0) -> Find:
    """Finds every match of an RE2 pattern, or one group of it."""
    compiled = lazily(pattern)

    def find(text: bytes) -> Iterator[Span]:
        for match in compiled().finditer(text):
            yield match.span(group)

    return find


# --- tokens known by their shape -------------------------------------------------------------------------------------

_PREFIX = (
    r"(?:[rs]k_(?:live|test)_|whsec_|gh[opsru]_|github_pat_|gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent)-|xox[a-z]-|xapp-|AIza"
    r"|ya29\.|pypi-|shp(?:at|ca|pa|ss)_|do[opr]_v1_|dckr_pat_|lin_api_|AGE-SECRET-KEY-|rubygems_|glsa_)"
)
# These end ordinary words, too (`task-...`), so they must begin one: after an escaped line break or a colour, as well.
_SHORT_PREFIX = r"(?:sk-|npm_|hf_|SG\.|ntn_|hv[sb]\.|nfp_|glc_|xai-|gsk_)"
_BEGINS = r"(?:\b|\\[nrtbfv]|\[[0-9;]*m)"
_AWS = r"(?:AKIA|ASIA)"
_JWT = r"eyJ[A-Za-z0-9_\-]{8,}"
_REST = r"[A-Za-z0-9_\-.=+/]"
_TOKEN = rf"{_PREFIX}{_REST}{{8,}}|{_AWS}[A-Z0-9]{{12,}}|{_JWT}(?:\.[A-Za-z0-9_\-]*)+"
_SHORT_TOKEN = rf"{_BEGINS}({_SHORT_PREFIX}{_REST}{{8,}})"

_PEM = rb"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\z)"

# Signed links (Azure, AWS, Google): whoever has the signature has the file.
_SIGNATURE = rb"(?i)[?&;](?:sig|signature|x-(?:amz|goog)-signature)=([^&\s\"'<>\\]+)"


# --- credentials in a header or a URL --------------------------------------------------------------------------------

_BEARER = lazily(rb"(?i)bearer(?:\s|\\+[nrt]|%20)+([^\s\"'\\,;<>]{6,})")
_BASIC = lazily(rb"(?i)(?:\b|\\[nrt])basic\s+([A-Za-z0-9+/]{6,}={0,2})")
_MIXED = re.compile(rb".[A-Z0-9+/=]")


def _schemes(text: bytes) -> Iterator[Span]:
    for match in _BEARER().finditer(text):
        yield match.span(1)
    for match in _BASIC().finditer(text):
        value = match[1]
        # "basic understanding" is prose. Encoded credentials do not look like a word, or else decode to user:password.
        if _MIXED.search(value) or b":" in _decoded(value):
            yield match.span(1)


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(value.rstrip(b"=")[: len(value) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


_URL = lazily(rb"(?i)[a-z][a-z0-9+.\-]*:(?:\\*/){2}([^\s\"'<>\\]*@)")
_AFTER_AUTHORITY = re.compile(rb"[/?#]")


def _userinfo(text: bytes) -> Iterator[Span]:
    for match in _URL().finditer(text):
        found = match[1]
        start = match.start(1)
        cut = _AFTER_AUTHORITY.search(found)
        at = found.rfind(b"@", 0, cut.start() if cut else len(found))
        if at < 0 and cut:
            # The standard ends the authority here, but people paste passwords with `/`, `?` and `#` in them.
            # What follows the colon of a host is a port: digits.
            name, colon, rest = found[: cut.start()].partition(b":")
            if colon and not rest.isdigit() and not name.startswith(b"["):
                at = found.find(b"@")
        if at > 0:
            yield start, start + at


# --- card numbers ----------------------------------------------------------------------------------------------------

_DIGITS = lazily(rb"[0-9](?:[ \-]?[0-9]){12,}")
_GROUP = re.compile(rb"[0-9]+")
_HEX = b"0123456789abcdefABCDEF-"


def is_card(digits: bytes) -> bool:
    """Whether 13 to 19 digits can be a card number: a known first digit and the Luhn checksum."""
    if not 13 <= len(digits) <= 19 or digits[0] not in b"23456":
        return False
    values = [digit - 48 for digit in reversed(digits)]
    doubled = (2 * value - 9 if value > 4 else 2 * value for value in values[1::2])
    return (sum(values[0::2]) + sum(doubled)) % 10 == 0


def _cards(text: bytes) -> Iterator[Span]:
    for match in _DIGITS().finditer(text):
        run: bytes = match[0]
        groups = [group.span() for group in _GROUP.finditer(run)]
        # Other numbers may stand before and after a card number of at most five groups; or it is all of the run.
        candidates = [(0, len(run))] if len(groups) > 5 else []
        for first, (start, _) in enumerate(groups):
            candidates += [(start, end) for _, end in groups[first : first + 5] if 13 <= end - start <= 23]
        for start, end in candidates:
            digits = run[start : min(end, start + 40)].replace(b" ", b"").replace(b"-", b"")
            if is_card(digits) and not _in_hex(text, match.start() + start, match.start() + end):
                yield match.start() + start, match.start() + end


def _in_hex(text: bytes, start: int, end: int) -> bool:
    """Whether digits are part of a hash or a UUID: one hash in two hundred holds a would-be card number."""
    before = text[max(0, start - 64) : start]
    after = text[end : end + 64]
    around = before[len(before.rstrip(_HEX)) :] + after[: len(after) - len(after.lstrip(_HEX))]
    return len(around) + end - start >= 32 and bool(around.strip(b"0123456789-"))


KINDS: tuple[Kind, ...] = (
    Kind(_TOKEN, matches(_TOKEN.encode())),
    Kind(_SHORT_PREFIX + _REST + "{8}", matches(_SHORT_TOKEN.encode(), 1)),
    Kind(r"-----BEGIN [A-Z0-9 ]*PRIVATE", matches(_PEM)),
    Kind(r"(?i:[?&;](?:sig|signature|x-(?:amz|goog)-signature)=)", matches(_SIGNATURE, 1)),
    Kind(r"(?i:bearer|basic)", _schemes),
    Kind(r":(?:\\*/){2}[^\s]*@", _userinfo),
    Kind(r"[0-9](?:[ \-]?[0-9]){12}", _cards),
)
"""Secrets that are known by their own shape, whatever they are called."""
