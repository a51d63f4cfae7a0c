"""The three-valued logic."""

import itertools

import pytest

from aegis_core.policy.conditions.truth import Context, all_of, word


@pytest.mark.parametrize(
    ("truths", "answer"),
    [
        ([True, True], True),
        ([False, False], False),
        ([True, False], None),
        ([None], None),
        ([None, False], None),
        ([None, True], None),
        ([], False),
        (iter([True]), True),
    ],
)
def test_several_values_must_agree(truths: list[bool | None], answer: bool | None):
    assert all_of(truths) is answer


def test_what_holds_for_several_values_holds_however_doubt_is_resolved():
    for truths in itertools.product([True, False, None], repeat=3):
        answer = all_of(truths)
        if answer is not None:
            assert set(truths) == {answer}


def test_truths_have_words():
    assert [word(truth) for truth in (True, False, None)] == ["true", "false", "undecided"]


def test_a_context_knows_nothing_until_it_is_asked():
    context = Context()
    assert (context.session, context.plain) == (None, None)
