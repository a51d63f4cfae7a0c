"""The sessions of one runtime."""

import os
import signal
import threading

import pytest

from aegis_core.action import Action
from aegis_core.record import BudgetExhausted, now_us
from aegis_core.session import Sessions
from aegis_core.session.sessions import MAX_ALL_TEXT, MAX_BUDGETS, MAX_SESSIONS
from aegis_core.session.state import MAX_TEXT


class History:
    def __init__(self, *calls: tuple[int, str, str]) -> None:
        self.calls = list(calls)
        self.broken = False
        self.asked: list[int] = []

    def history(self, session_id: str, *, after: int = 0) -> list[tuple[int, str, str]]:
        self.asked.append(after)
        if self.broken:
            raise OSError("no disk")
        return [call for call in self.calls if call[0] > after]


def test_the_longest_unused_session_is_forgotten_and_then_in_doubt():
    sessions = Sessions()
    sessions.add_user_text("first", "jane@x.com")
    for number in range(MAX_SESSIONS):
        sessions.get(f"s{number}")
    again = sessions.get("first")
    again.add_user_text("hello there")
    assert again.origin("jane@x.com", user=True, trust=None)[0] is None
    fresh = sessions.get("never seen")
    fresh.add_user_text("hello there")
    assert fresh.origin("jane@x.com", user=True, trust=None)[0] is False


def test_all_sessions_together_hold_a_bounded_amount_of_text():
    sessions = Sessions()
    for number in range(2 * MAX_ALL_TEXT // MAX_TEXT):
        sessions.add_user_text(f"s{number}", f"{number} " + "x" * (MAX_TEXT - 10))
    assert sum(state.size for state in sessions._states.values()) <= MAX_ALL_TEXT


def test_a_budget_is_remembered_until_it_is_free_again():
    sessions = Sessions()
    soon = now_us() + 60_000_000
    sessions.exhausted(BudgetExhausted("rule", soon))
    assert sessions.get("s").exhausted_until("rule") == soon
    assert sessions.get("s").exhausted_until("other") is None
    for number in range(2 * MAX_BUDGETS):
        sessions.exhausted(BudgetExhausted(f"b{number}", soon))
    assert len(sessions._exhausted) <= MAX_BUDGETS


def test_a_session_is_read_from_the_trail_once_and_then_on_from_there():
    sessions, history = Sessions(), History((3, "fetch", "web"))
    assert sessions.behind("s", 7)
    sessions.catch_up("s", history, 7)
    assert not sessions.behind("s", 7)
    history.calls.append((9, "send", "mail"))
    assert sessions.behind("s", 8)
    sessions.catch_up("s", history, 8)
    assert history.asked == [0, 3]
    assert sessions.get("s").position == 9


def test_a_trail_that_cannot_say_whether_it_changed_is_read_every_time():
    sessions, history = Sessions(), History()
    sessions.catch_up("s", history, None)
    assert sessions.behind("s", None)


def test_a_session_that_cannot_be_read_is_in_doubt_until_it_can(caplog):
    from tests.core.session.test_state import calls

    sessions, history = Sessions(), History()
    sessions.catch_up("s", history, 1)
    assert sessions.get("s").begun(calls("fetch")) is False
    history.broken = True
    sessions.catch_up("s", history, 2)
    assert "cannot be read" in caplog.text
    assert sessions.get("s").begun(calls("fetch")) is None
    assert sessions.behind("s", 2)
    history.broken = False
    sessions.catch_up("s", history, 2)
    assert sessions.get("s").begun(calls("fetch")) is False


def test_threads_may_tell_and_ask_at_the_same_time():
    sessions = Sessions()
    wrong: list[str] = []

    def talk(number: int) -> None:
        for turn in range(200):
            value = f"user{number}-{turn}@x.com"
            sessions.add_user_text("s", f"write to {value} now")
            sessions.begun(Action(f"tool_{number}_{turn}", "t", session_id="s"))
            if sessions.get("s").origin(value, user=True, trust=None)[0] is not True:
                wrong.append(value)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sessions._held == sessions.get("s").size


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("whose", ["the keeper's", "a session's"])
def test_what_another_thread_was_changing_while_the_process_forked_is_undecided_in_the_child(whose):
    sessions = Sessions()
    sessions.add_user_text("s1", "send it to ann@example.com")
    sessions.add_user_text("s2", "send it to bob@example.com")
    lock = sessions._lock if whose == "the keeper's" else sessions.get("s1")._lock
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        answers = [sessions.get(name).origin("bob@example.com", user=True, trust=None)[0] for name in ("s1", "s2")]
        os._exit(0 if answers == [None, None if whose == "the keeper's" else True] else 1)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sessions.get("s1").origin("ann@example.com", user=True, trust=None)[0] is True
