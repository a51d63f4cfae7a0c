"""What an argument probably is, by its name and by the pattern a policy looks for in it; and what parses it."""

from __future__ import annotations

import re

__all__ = ["parsing_condition"]

_SQL = re.compile(
    r"(?i)\b(SELECT|INSERT|UPDATE|DELETE|DROP|TRUNCATE|ALTER|CREATE TABLE|GRANT|WITH|REPLACE INTO|PRAGMA)\b"
)
_KINDS = (
    ("param_sql", "{statements: [select]}", "SQL", re.compile(r"(?i)(^|[_.])(sql|stmt|statement|sql_?query)s?$"), _SQL),
    (
        "param_url",
        "{schemes: [https], hosts: [example.com]}",
        "a URL",
        re.compile(r"(?i)(^|[_.])(url|uri|href|link|endpoint|webhook)s?$"),
        re.compile(r"(?i)\b(https?|ftp|wss?)\b\??\(?s?\)?\??:|:\\?/\\?/|https?://"),
    ),
    (
        "param_email",
        "{domains: [example.com]}",
        "an e-mail address",
        re.compile(r"(?i)(^|[_.])(e?mail|recipient|to|cc|bcc|addresse?)(_address)?(es|s)?$"),
        re.compile(r"@[\w\\.-]+|@\["),
    ),
    (
        "param_shell",
        "{programs: [git, ls]}",
        "a command line",
        re.compile(r"(?i)(^|[_.])(command|cmd|shell|bash|command_line|script)s?$"),
        re.compile(r"(?i)^(\(\?i\))?\^?\(?(git|ls|cat|rm|sudo|curl|wget|npm|pip|python|make|docker|kubectl|echo)\b"),
    ),
    (
        "param_path",
        "{under: [/data]}",
        "a path",
        re.compile(r"(?i)(^|[_.])(path|file|filename|file_?path|dir|directory|folder|source|destination|dest|root)s?$"),
        re.compile(r"^(\(\?i\))?\^?\(?(\./|~?/[\w.]|[A-Za-z]:\\\\)"),
    ),
)


def parsing_condition(param: str, pattern: str = "") -> tuple[str, str, str] | None:
    """The condition that parses what a parameter holds: its name, an example of its use, what the parameter is.

    Args:
        param: The parameter's path.
        pattern: The pattern a policy looks for in it.
    """
    name = param.removesuffix("[]").rpartition(".")[2].removesuffix("[]")
    spoken = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    for condition, example, what, names, looks in _KINDS:
        by_look = looks.search(pattern) is not None
        # `query` is SQL only where the pattern says so; `to` is an address only where there is an @.
        by_name = names.search(spoken) is not None and (condition != "param_email" or by_look)
        if by_name or (by_look and condition in ("param_sql", "param_url", "param_path")):
            return condition, example, what
    return None
