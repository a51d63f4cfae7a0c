"""Sessions: what is known of the conversations, threads and runs that calls belong to. In memory and bounded."""

from aegis_core.session.handle import Session
from aegis_core.session.sessions import Sessions
from aegis_core.session.state import SessionState

__all__ = ["Session", "SessionState", "Sessions"]
