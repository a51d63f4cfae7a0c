"""Which paths mean the same to everyone who reads them, judged by their text alone."""

from __future__ import annotations

import functools
import re
import unicodedata

__all__ = ["path_problem"]

_DOUBTS = {
    "home": "it begins with '~', which many tools expand",
    "edge": "it begins or ends with white space, which many tools strip",
    "dots": "it has a '..' segment, or dots or spaces that some systems read as one",
    "encoded": "it is percent-encoded, and the tool may decode it",
    "expand": "it has a variable, braces or a pattern that a shell or a library may expand",
    "backslash": "it has a backslash, which separates segments elsewhere",
    "network": "it begins with two separators, which on some systems name another machine or a device",
    "scheme": "it begins like a drive or a URL",
    "slash": "it has a slash, and the style is windows",
    "relative": "it depends on the current drive or folder",
    "device": "it names a device",
    "stream": "it names a stream of a file, or has a character Windows does not allow",
    "trailing": "a segment ends with a dot or a space, which Windows drops",
    "short": "it may be the 8.3 name of another file",
}

_COMMON = r"""
    (?P<home>\A~)
  | (?P<edge>\A\ |\ \Z)
  | (?P<encoded>%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}))
"""
_POSIX = (
    _COMMON
    + r"""
  | (?P<backslash>\\)
  | (?P<network>\A//)
  | (?P<scheme>\A[^/]*:)
  | (?P<dots>(?:\A|/)\.[. ]|[. ]\.(?=/|\Z))
  | (?P<expand>\$[A-Za-z_{(]|[{`]|(?:\A|/)\.[*?\[])
"""
)
_WINDOWS = (
    _COMMON
    + r"""
  | (?P<slash>/)
  | (?P<network>\A\\\\)
  | (?P<relative>\A\\|\A[A-Za-z]:(?!\\))
  | (?P<dots>(?:\A|\\)\.[. ])
  | (?P<trailing>[^\\][. ](?=\\|\Z)|\\\ +(?=\\|\Z))
  | (?P<expand>%[^%\\]*%|[{`])
  | (?P<stream>(?<!\A[A-Za-z]):|[<>|?*"])
  | (?P<short>~[0-9])
  | (?P<device>(?:\A|\\)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?=[\\.]|\Z))
"""
)
# Most paths are plainly harmless, and one look tells: words with single dots and spaces inside. What this passes has
# none of the doubts.
_PLAIN_POSIX = re.compile(r"/?+(?:\.?[\w\-+@=,()&'#]++(?:[. ][\w\-+@=,()&'#]++)*+(?:/(?!/)|\Z))++", re.ASCII)
# Characters that mean something in a path; a character that *becomes* one of these under NFKC may mean it to somebody.
_MEANINGFUL = "./\\:~%$*?[{ "
# NFKC leaves these alone, but legacy code pages turn them into a slash or a backslash.
_BEST_FIT = re.compile("[\u2044\u2215\u2216\u29f5\u29f8\u29f9\u00a5\u20a9]")


@functools.cache  # a hook, which starts for every call, sees plain paths nearly always
def _doubts(style: str) -> re.Pattern[str]:
    return re.compile(_WINDOWS, re.VERBOSE | re.IGNORECASE) if style == "windows" else re.compile(_POSIX, re.VERBOSE)


def path_problem(path: str, style: str) -> str | None:
    """Why two readers may not agree on what this text means as a path, or None."""
    if style == "posix" and _PLAIN_POSIX.fullmatch(path):
        return None
    if not path:
        return "it is empty"
    if not path.isprintable():
        return "it has a control or invisible character"
    if found := _doubts(style).search(path):
        return _DOUBTS[found.lastgroup or ""]
    if not path.isascii():
        normal = unicodedata.normalize("NFKC", path)
        changed = normal != path and any(normal.count(character) != path.count(character) for character in _MEANINGFUL)
        if changed or _BEST_FIT.search(path):
            return "it has a look-alike of a dot, a separator or another character that means something in a path"
    return None
