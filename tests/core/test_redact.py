"""Secrets do not get through the redactor, and what is no secret does."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import json
import math
import pathlib
import time
import uuid
from collections import OrderedDict
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_core.redact import MASK, RECORD, Bounds, Redactor
from aegis_core.redact.names import SecretNames
from aegis_core.snapshot import Opaque, freeze, freeze_params

REDACTOR = Redactor()

SECRET_NAMES = [
    *("password", "Password", "PASSWORD", "passwd", "pwd", "db_password", "dbPassword", "DB-PASSWORD", "userPwd"),
    *("secret", "client_secret", "clientSecret", "AWS_SECRET_ACCESS_KEY", "secrets", "token", "access_token"),
    *("accessToken", "X-Auth-Token", "refresh_tokens", "api_key", "apikey", "apiKey", "x-api-key", "X-API-KEY"),
    *("OPENAI_API_KEY", "authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "cookies", "private_key"),
    *("privateKey", "ssh_key", "signing-key", "credentials", "passphrase", "jwt", "otp", "cvv", "auth", "pass"),
    *("smtp_pass", "PGPASSWORD", "password2", "my.password.value", "ｐａｓｓｗｏｒｄ", "api__key"),
]
PLAIN_NAMES = [
    *("max_tokens", "maxTokens", "token_count", "tokenCount", "tokenizer", "keyboard", "primary_key", "key", "keys"),
    *("tokens", "total_tokens", "prompt_tokens", "next_page_token", "eos_token", "password_length", "secret_name"),
    *("token_type", "secretary", "author", "authority", "authentication_method", "cookie_policy", "public_key"),
    *("sort_key", "passenger", "bypass", "compass", "path", "query", "monkey", "api_version", "session_id"),
    *("expires_in", "pass_rate", "cookiecutter", "tokenize", "", "_", "123"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_says_secret_masks_its_value(name):
    assert REDACTOR.value({name: "hunter2"}) == {name: MASK}
    assert REDACTOR.params({name: ["hunter2"]}) == {name: MASK}
    assert "hunter2" not in REDACTOR.json(freeze({name: "hunter2"}))


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_line_22_a_name_that_only_looks_like_one_masks_nothing(name):
    assert REDACTOR.value({name: "hunter2", "n": {name: 4096}}) == {name: "hunter2", "n": {name: 4096}}
    assert json.loads(REDACTOR.json(freeze({name: "hunter2"}))) == {name: "hunter2"}


def test_nothing_under_a_secret_name_stays_readable_as_nothing():
    value: dict[str, Any] = {"password": None, "token": "", "secret": True, "cookie": [], "pwd": 0}
    assert REDACTOR.value(value) == {**value, "pwd": MASK}


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SHAPES = [
    *("sk-abcdefghijklmnopqrstuvwx", "sk-proj-abc_DEF-123456", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    *("github_pat_11ABCDEFG0abcdefghijkl", "glpat-abcdefghij0123456789", "xoxb-123456789012-abcdefghijkl"),
    *("AKIAIOSFODNN7EXAMPLE", "AIzaSyA1234567890abcdefghijklmnopqrstuv", "hf_abcdefghijklmnopqrst", JWT, PEM),
    *("4111111111111111", "4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005", "6011111111111117"),
    *("AGE-SECRET-KEY-1QYQSZQGPQYQSZQGP", "sk_live_abcdefghijklmnop", "npm_abcdefghijklmnopqrstuvwx"),
]


@pytest.mark.parametrize("secret", SHAPES)
def test_a_secret_is_known_by_its_own_shape(secret):
    assert REDACTOR.text(secret) == MASK
    assert REDACTOR.text(f"before {secret} after") == f"before {MASK} after"
    assert REDACTOR.value({"note": [f"x={secret}"], secret: 1}) != {"note": [f"x={secret}"], secret: 1}
    values: list[Any] = [{"a": f"line\n{secret}\ttab"}, {secret: 1}]
    for value in values:
        rendered = REDACTOR.json(freeze(value))
        assert secret not in rendered
        assert secret.replace("\n", "\\n") not in rendered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def\r\nHost: x", "Authorization: [redacted]\r\nHost: x"),
        ("curl -H 'Authorization: Basic YTpi' https://h", "curl -H 'Authorization: [redacted]' https://h"),
        ("sent Bearer hunter2hunter2 to them", "sent Bearer [redacted] to them"),
        ('Cookie: a=b; c="d"; e=f\nX: y', "Cookie: [redacted]\nX: y"),
        ("postgres://ann:pw@db/x", "postgres://[redacted]@db/x"),
        ("https:\\/\\/ann:pw@db\\/x", "https:\\/\\/[redacted]@db\\/x"),
        ("https://ann:p/w?#@db/x", "https://[redacted]@db/x"),
        ("https://token@host/?mail=a@b", "https://[redacted]@host/?mail=a@b"),
        ("?token=abc&x=1", "?token=[redacted]&x=1"),
        ("https://x.blob/y?sv=1&sig=abc%2F&se=2", "https://x.blob/y?sv=1&sig=[redacted]&se=2"),
        ("login(password='hun\\'ter2', n=1)", "login(password='[redacted]', n=1)"),
        ("{'password': b'hunter2', 'n': 1}", "{'password': b'[redacted]', 'n': 1}"),
        ("Settings(api_key=SecretStr('abc'), n=1)", "Settings(api_key=[redacted], n=1)"),
        ('{"secrets": {"a": ["b", "c}"]}, "n": 1}', '{"secrets": [redacted], "n": 1}'),
        ("mysql --password hunter2 --host x", "mysql --password [redacted] --host x"),
        ("password: correct horse battery\nuser: ann", "password: [redacted]\nuser: ann"),
        ("<password>hunter2</password>", "<password>[redacted]</password>"),
        ('<secret type="x">hunter2</secret>', '<secret type="x">[redacted]</secret>'),
        ("first\\npassword=hunter2\\nlast", "first\\npassword=[redacted]\\nlast"),
        ("export API_KEY=abc; ls", "export API_KEY=[redacted]; ls"),
        ("api key: abc", "api key: [redacted]"),
    ],
)
def test_secrets_are_found_inside_text(text, expected):
    assert REDACTOR.text(text) == expected
    assert REDACTOR.text(expected) == expected, "once is enough"


@pytest.mark.parametrize(
    "text",
    [
        *("the token was refused", "a basic understanding of things", "login auth: failed", "max_tokens=5"),
        *("https://example.com/users/a@b.com", "http://host:8080/x?mail=a@b", "mailto:ann@example.com", "2026-03-22"),
        *("task-management-for-teams", "1234567890123", "4111111111111112", "'token=' + x", "SELECT * FROM tokens"),
        *(
            "0f3a4111111111111111bc0f3a4bc0ffee000000",
            "550e8400-e29b-41d4-a716-446655440000",
            "password",
            "",
            "secret: ",
        ),
        *("https://[::1]:80/a@b", "git@github.com:a/b.git", "éü 漢字"),
    ],
)
def test_what_is_no_secret_is_left_alone(text):
    assert REDACTOR.text(text) == text


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_json_in_json_in_json_is_understood(depth):
    text: Any = {"password": 'a"b\\c\nd', "plain": 'say "hi"'}
    for _ in range(depth):
        text = json.dumps(text)
    redacted: Any = REDACTOR.text(text)
    for _ in range(depth):
        redacted = json.loads(redacted)
    assert redacted == {"password": MASK, "plain": 'say "hi"'}


def test_names_and_values_that_stand_beside_each_other_belong_together():
    assert REDACTOR.value({"name": "password", "value": "x"}) == {"name": "password", "value": MASK}
    assert REDACTOR.value({"element": "Password field", "text": "x"}) == {"element": "Password field", "text": MASK}
    assert REDACTOR.value({"name": "city", "value": "x"}) == {"name": "city", "value": "x"}
    assert REDACTOR.value([["X-Api-Key", "x"], ["Host", "y"]]) == [["X-Api-Key", MASK], ["Host", "y"]]
    assert REDACTOR.value(["curl", "--token", "x", "y"]) == ["curl", "--token", MASK, "y"]


def test_card_numbers_are_found_as_numbers_too():
    assert REDACTOR.value([4111111111111111, 4111111111111111.0, 4111111111111112]) == [MASK, MASK, 4111111111111112]
    assert json.loads(REDACTOR.json({"n": 4111111111111111})) == {"n": MASK}


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


class Odd:
    def __repr__(self) -> str:
        return f"Odd(password='hunter2', note='{'x' * 500}', key='sk-abcdefghijklmnop')"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Liar(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")

    __iter__ = items


def cyclic() -> Any:
    value: dict[str, Any] = {"list": []}
    value["list"].append(value)
    value["self"] = value
    return value


def branching() -> Any:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


HOSTILE = [
    *(b"\xff\x00secret", bytearray(b"abc"), datetime.datetime(2026, 3, 22, tzinfo=datetime.UTC), datetime.date.max),
    *(
        decimal.Decimal("1.10"),
        uuid.UUID(int=1),
        pathlib.Path("/x"),
        float("nan"),
        math.inf,
        -math.inf,
        2**64,
        -(2**63),
    ),
    *(-(2**63) - 1, 10**400, 10**5000, 1 << 100_000, "\ud800 lone", {"\udfff": "\ud800"}, {1: 2, None: 3, False: 4}),
    *({(1, 2): "tuple key"}, {1.5: 1, float("nan"): 2}, {"1": "a", 1: "b"}, cyclic(), {1, 2}, frozenset("a")),
    *(Opaque(Odd()), Odd(), Broken(), Opaque(Broken()), Colour.RED, object(), type, len, iter([]), Liar(a=1)),
    *(Point(1, 2), OrderedDict(a=1), [[[[[[[]]]]]]], "x" * 1_000_000, ["y" * 100_000] * 50),
    *({str(n): n for n in range(5000)}, branching(), "\x00\x1b\u202e", 1e300, True, None),
]


@pytest.mark.parametrize("value", HOSTILE, ids=[f"{n}-{type(value).__name__}" for n, value in enumerate(HOSTILE)])
@pytest.mark.parametrize("bounds", [RECORD, Bounds(text=10, items=3, depth=2, total=50)])
def test_line_23_anything_becomes_bounded_json(value, bounds):
    for held in (value, {"k": value}, [value, value]):
        plain = REDACTOR.value(held, bounds=bounds)
        data = orjson.dumps(plain)
        assert len(data) < 20 * bounds.total + 10_000
        text = REDACTOR.json(held, bounds=bounds)
        json.loads(text)
        text.encode()
        assert "hunter2" not in text
    if type(value) is dict and all(isinstance(key, str) for key in value):
        orjson.dumps(REDACTOR.params(freeze_params(value), bounds=bounds))


def test_what_stands_for_odd_values_says_what_they_were():
    value = [b"ab", datetime.date(2026, 3, 22), float("nan"), 2**70, cyclic(), 1 << 5000, "\ud800", {2: "b"}]
    assert REDACTOR.value(value) == [
        "[bytes: 2 bytes] ab",
        "2026-03-22",
        "nan",
        str(2**70),
        {"list": ["[cycle]"], "self": "[cycle]"},
        "[integer of 5001 bits]",
        "\\ud800",
        {"2": "b"},
    ]
    assert json.loads(REDACTOR.json(freeze({"n": float("nan"), "x": None}))) == {"n": "nan", "x": None}


def test_cuts_say_how_much_there_was():
    bounds = Bounds(text=5, items=2, depth=2)
    value = {"text": "abcdefgh", "list": [1, 2, 3], "deep": [[[1]]]}
    assert REDACTOR.value(value, bounds=bounds) == {
        "text": "abcde… [cut: 8 characters]",
        "list": [1, 2, "[cut: 3 items]"],
        "[cut]": "3 items",
    }
    assert REDACTOR.value([[[1]]], bounds=bounds) == [["[cut: nested deeper than 2]"]]
    whole = {"text": "abc" * 10_000, "list": list(range(5_000))}
    assert REDACTOR.value(whole) == whole, "without bounds nothing is cut"


def test_keys_that_become_the_same_stay_apart():
    assert REDACTOR.value({"1": "a", 1: "b", "sk-abcdefghijkl": 1, "sk-abcdefghijkm": 2}) == {
        "1": "a", "1'": "b", MASK: 1, f"{MASK}'": 2,
    }  # fmt: skip


def test_no_cut_lets_half_a_secret_through():
    for secret in ("sk-abcdefghijklmnopqrstuvwxyz", "Bearer hunter2hunter2", "https://ann:hunter2@host", PEM, JWT):
        for limit in range(1, len(secret) + 15):
            kept = REDACTOR.text(f"0123456789 {secret} and more text", limit=limit)
            tail = secret.rpartition(" ")[2].partition("://")[2] or secret.rpartition(" ")[2]
            assert tail[:6] not in kept, (limit, kept)
    long = "x" * 5_000 + " password=hunter2"
    assert "hunter2" not in REDACTOR.text(long, limit=5_012)


def test_keys_and_patterns_can_be_added_but_not_taken_away():
    redactor = Redactor(keys=["employee_id", "SSN"], patterns=[r"\bEMP-\d+\b", r"(?i)project\s+\w+"])
    value = {"employeeId": 7, "X-Employee-Id": 8, "ssn": "1", "note": "EMP-12 of Project Falcon", "password": "x"}
    assert redactor.value(value) == {
        "employeeId": MASK, "X-Employee-Id": MASK, "ssn": MASK, "note": "[redacted] of [redacted]", "password": MASK,
    }  # fmt: skip
    assert redactor.text("employee_id=7 ssn: 8") == "employee_id=[redacted] ssn: [redacted]"
    assert json.loads(redactor.json(value))["note"] == "[redacted] of [redacted]"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patterns": ["("]}, "not valid RE2"),
        ({"patterns": [r"(?=x)"]}, "not valid RE2"),
        ({"patterns": ["x*"]}, "empty string"),
        ({"keys": ["--"]}, "at least one letter"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        Redactor(**options)


def test_time_is_linear_in_the_length_of_hostile_text():
    parts = [
        "password",
        "token: ",
        "https://a",
        '"',
        "\\",
        "[",
        "{'secret': ",
        "4 1 ",
        "Cookie: x ",
        "eyJ",
        "-----BEGIN ",
    ]
    for part in parts:
        started = time.perf_counter()
        REDACTOR.text(part * (300_000 // len(part)))
        assert time.perf_counter() - started < 5, part


# --- properties ------------------------------------------------------------------------------------------------------

token = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=16, max_size=40)
free = st.text(min_size=6, max_size=30)


def cards() -> st.SearchStrategy[str]:
    def complete(digits: str) -> str:
        body = "4" + digits
        total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(body)))
        return body + str(-total % 10)

    return st.text("0123456789", min_size=14, max_size=14).map(complete)


planted = st.one_of(
    token.map(lambda t: ("sk-" + t, "sk-" + t)),
    token.map(lambda t: ("ghp_" + t, t)),
    token.map(lambda t: ("Bearer " + t, t)),
    token.map(lambda t: (f"https://user:{t}@host/path", t)),
    token.map(lambda t: (f"-----BEGIN PRIVATE KEY-----\n{t}\n-----END PRIVATE KEY-----", t)),
    token.map(lambda t: base64.b64encode(f"u:{t}".encode()).decode()).map(lambda t: ("Basic " + t, t)),
    token.map(lambda t: (f"password={t}", t)),
    token.map(lambda t: (f"Cookie: session={t}", t)),
    cards().map(lambda c: (c, c)),
)  # fmt: skip
names = st.sampled_from(SECRET_NAMES)
prose = st.sampled_from(["", "see ", "x\n", "{", "(", 'say "', "\t", "é ", "a=b; ", "\\n", ", "])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def surroundings(draw: st.DrawFn, value: Any) -> Any:
    """``value`` somewhere inside a JSON-like structure, perhaps as JSON text."""
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["list", "tuple", "dict", "json", "text", "repr"]))
        if kind in ("list", "tuple"):
            value = [draw(json_like), value]
            value = tuple(value) if kind == "tuple" else value
        elif kind == "dict":
            value = {"a": draw(json_like), draw(st.text(max_size=5)) + "x": value}
        elif kind == "json":
            value = json.dumps(value, default=str, ensure_ascii=draw(st.booleans()))
        elif kind == "repr":
            value = repr(value)
        elif isinstance(value, str):
            value = draw(prose) + value
    return value


def everywhere(value: Any) -> list[str]:
    found = [
        str(REDACTOR.value(value)),
        REDACTOR.json(value),
        REDACTOR.json({"v": value}),
        REDACTOR.json({str(value): 1}),
    ]
    if isinstance(value, str):
        found += [REDACTOR.text(value), REDACTOR.text(value, limit=max(1, len(value) // 2)), REDACTOR.name(value)]
        found.append(REDACTOR.text(f"ValueError: could not use {value!r}"))
    return found


@settings(deadline=None)
@given(planted, prose, prose, st.data())
def test_a_planted_secret_survives_nowhere(pair, before, after, data):
    text, secret = pair
    value = data.draw(surroundings(before + text + after))
    for rendered in everywhere(value):
        assert secret not in rendered


@settings(deadline=None)
@given(names.filter(str.isascii), token, st.data())
def test_a_secret_under_its_name_survives_nowhere(name, secret, data):
    value = data.draw(surroundings({name: data.draw(st.sampled_from([secret, [secret], {"x": secret}, 7]))}))
    for rendered in everywhere(value):
        assert secret not in rendered


@settings(deadline=None)
@given(names.filter(str.isascii), free, st.integers(1, 4))
def test_any_value_under_a_secret_name_in_nested_json_text_is_masked_exactly(name, secret, depth):
    text: Any = {name: secret, "after": "kept"}
    for _ in range(depth):
        text = json.dumps(text)
    redacted: Any = REDACTOR.text(text)
    for _ in range(depth):
        redacted = json.loads(redacted)
    assert redacted == {name: MASK, "after": "kept"}


@settings(deadline=None)
@given(json_like)
def test_the_fast_path_says_what_the_thorough_path_says(value):
    value = freeze(value)
    assert json.loads(REDACTOR.json(value)) == json.loads(orjson.dumps(REDACTOR.value(value, bounds=RECORD)))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*SECRET_NAMES, *PLAIN_NAMES, "x", "my", "Key"]), min_size=1, max_size=3),
    st.sampled_from(["_", "-", " ", "", ".", "__"]),
)
def test_every_secret_name_wakes_the_thorough_path(parts, glue):
    name = glue.join(parts)
    if name in SecretNames():
        assert "hunter2" not in REDACTOR.json(freeze({name: "hunter2"}))


@settings(deadline=None)
@given(st.text() | st.binary() | json_like)
def test_nothing_makes_it_raise(value):
    orjson.dumps(REDACTOR.value(value, bounds=RECORD))
    if isinstance(value, str):
        orjson.dumps([REDACTOR.text(value), REDACTOR.text(value, limit=3)])
