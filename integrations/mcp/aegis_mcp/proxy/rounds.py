"""Rounds of a call in the stateless era (2026-07-28): the answer is a question, and the call comes again with a reply.

Nothing is kept here in between: what the proxy has to know travels with the client as ``requestState``, signed with the
trail's key. A state names the approval request it was issued for, and the very call; a state that was not issued here,
or for another call, is refused. That a yes counts once is the approval request's business, which is used up as the call
is written down.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_mcp.proxy.frames import FrameError, Message

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Approval", "Rounds"]

_OURS = "aegis1."
_QUESTION = "aegis_approval"
_NOT_OURS = "its requestState was not issued by this proxy"
_CARRIED = ("requestState", "inputResponses")


class Approval(NamedTuple):
    """What the client's user said to a question.

    Attributes:
        request_id: The approval request that was shown.
        reply: The form as it came back.
    """

    request_id: str
    reply: Any


class Rounds:
    """Issues and takes back states.

    Args:
        digest: The trail's keyed digest.
    """

    def __init__(self, digest: Callable[[bytes], str]) -> None:
        self._digest = digest

    def question(self, params: Message, request_id: str, form: Message) -> Message:
        """The result that asks the client's user, in place of a refusal.

        Args:
            params: The call's, as it came.
            request_id: The approval request that is shown.
            form: The params of the ``elicitation/create`` to show.
        """
        carried = {name: params[name] for name in _CARRIED if name in params}
        body = json.dumps({"ask": request_id, "call": self._call(params), "carried": carried}).encode()
        state = f"{_OURS}{self._sign(body)}.{base64.urlsafe_b64encode(body).decode()}"
        ask = {"method": "elicitation/create", "params": {"mode": "form", **form}}
        return {"resultType": "input_required", "inputRequests": {_QUESTION: ask}, "requestState": state}

    def resume(self, params: Message) -> tuple[Message, Approval | None]:
        """A call's params without what was added for the proxy, and what the person said, if that came along.

        Raises:
            FrameError: The state claims to be one of ours, and is not, or was issued for another call.
        """
        state = params.get("requestState")
        if not isinstance(state, str) or not state.startswith(_OURS):
            return params, None
        signature, _, text = state.removeprefix(_OURS).partition(".")
        try:
            body = base64.b64decode(text, altchars=b"-_", validate=True)
        except ValueError:
            raise FrameError(_NOT_OURS) from None
        if not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            raise FrameError(_NOT_OURS)
        issued = json.loads(body)
        replies = params.get("inputResponses")
        reply = replies.get(_QUESTION) if isinstance(replies, dict) else None
        params = {name: value for name, value in params.items() if name not in _CARRIED} | issued["carried"]
        if not hmac.compare_digest(issued["call"], self._call(params)):
            raise FrameError("its requestState was issued for another call")
        return params, Approval(issued["ask"], reply)

    def _call(self, params: Message) -> str:
        """What a state is bound to: the tool and its arguments."""
        call = [params.get("name"), params.get("arguments")]
        return self._digest(b"aegis proxy call\0" + json.dumps(call, sort_keys=True).encode())

    def _sign(self, body: bytes) -> str:
        return self._digest(b"aegis proxy state\0" + body)
