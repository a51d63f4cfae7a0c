"""Which names say that their value is a secret: ``password``, ``apiKey``, ``X-Auth-Token``, but not ``max_tokens``.

A name is split into words (snake, kebab, camel and dotted case alike) and judged by whole words and neighbouring pairs,
so ``keyboard``, ``tokenizer`` and ``secretary`` are nobody's secrets.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SecretNames", "words"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")

_KEYS = (
    *("access", "account", "api", "auth", "consumer", "deploy", "encryption", "license", "master", "private", "secret"),
    *("service", "session", "shared", "signing", "ssh", "subscription"),
)
_TOKENS = ("access", "api", "auth", "bearer", "device", "id", "refresh", "secret", "session")
_PASSES = ("admin", "auth", "db", "ftp", "login", "mail", "mysql", "pg", "proxy", "root", "smtp", "user")

# A word, or two neighbours written as one, that ends like this names a secret: `dbpassword`, `client_secret`, `apiKey`.
_ENDINGS = (
    *("password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "token"),
    *("credential", "credentials", "authorization", "authorisation", "cookie", "cookies"),
    *(f"{kind}key{plural}" for kind in _KEYS for plural in ("", "s")),
    *(f"{kind}tokens" for kind in _TOKENS),
)
# These are too short to be looked for at the end of another word.
_EXACT = frozenset(("bearer", "cvc", "cvv", "jwt", "otp", "totp", *(f"{kind}pass" for kind in _PASSES)))
# These name a secret only when they are the whole name.
_WHOLE = frozenset(("auth", "pass"))

# A name that ends in one of these speaks about a secret without being one: `token_count`, `secret_name`.
_ABOUT = frozenset(
    (
        *(
            "age",
            "budget",
            "consent",
            "cost",
            "count",
            "counts",
            "domain",
            "enabled",
            "endpoint",
            "exists",
            "expiration",
        ),
        *(
            "expired",
            "expires",
            "expiry",
            "format",
            "idx",
            "index",
            "kind",
            "len",
            "length",
            "limit",
            "limits",
            "max",
            "min",
        ),
        *(
            "name",
            "names",
            "policy",
            "position",
            "price",
            "rate",
            "required",
            "rules",
            "size",
            "strength",
            "ttl",
            "type",
        ),
        *("types", "uri", "url", "usage", "valid", "version"),
    )
)
# `max_token`, `eos_token`, `next_page_token`: a unit of text or a place in a list, not a credential.
_NOT_A_CREDENTIAL = frozenset(
    (
        *(
            "bos",
            "cls",
            "continuation",
            "end",
            "eos",
            "first",
            "last",
            "mask",
            "max",
            "min",
            "next",
            "num",
            "number",
            "pad",
        ),
        *("page", "pagination", "prev", "previous", "sep", "special", "start", "stop", "sync", "total", "unk"),
    )
)
_MAX_WORDS = 32

_STEMS = (
    *("passGAPword", "passGAPwd", "passGAPphrase", "passGAPcode", "pass", "pwd", "secret", "token", "credential"),
    *("authori[sz]ation", "cookie", "bearer", "jwt", "otp", "cvv", "cvc", "auth"),
    *(f"{kind}GAPkey" for kind in _KEYS),
)


def words(name: str) -> list[str]:
    """The words of a name, folded: ``"X-Api_keyID"`` gives ``["x", "api", "key", "id"]``."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    return [word.casefold() for word in _WORD.findall(name)[:_MAX_WORDS]]


class SecretNames:
    """The judge of names. Answers are remembered: programs use the same few names over and over.

    Args:
        extra: More names that are secret, in any case style: ``"employee_id"`` also covers ``X-EmployeeId``.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        extra = tuple(extra)
        self._extra = frozenset("".join(words(name)) for name in extra)
        if "" in self._extra:
            raise ValueError("a key to redact needs at least one letter or digit")
        self._stems = (*_STEMS, *("GAP".join(words(name)) for name in extra))
        self._known: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            known = self._judge(name)
            if len(name) <= 128:
                if len(self._known) >= 4096:  # names are data too; a stranger must not fill the memory with them
                    self._known.clear()
                self._known[name] = known
        return known

    def stems(self, gap: str) -> str:
        """RE2 source found (ignoring case) in every secret name; ``gap`` is what may stand between two words."""
        return "|".join(stem.replace("GAP", gap) for stem in self._stems)

    def _judge(self, name: str) -> bool:
        parts = words(name)
        if not parts:
            return False
        if self._extra and self._is_extra(parts):
            return True
        if parts[-1] in _ABOUT:
            return False
        if len(parts) == 1 and parts[0] in _WHOLE:
            return True
        before = ""
        for word in parts:
            pair = before + word
            if word in _EXACT or pair in _EXACT:
                return True
            # A pair that ends so without its second word doing so is told by its joint: `pass` + `word`, `api` + `key`.
            if pair.endswith(_ENDINGS) and not (word == "token" and before in _NOT_A_CREDENTIAL):
                return True
            before = word
        return False

    def _is_extra(self, parts: list[str]) -> bool:
        runs = range(len(parts))
        return any("".join(parts[start : end + 1]) in self._extra for start in runs for end in runs[start:])
