"""How a call ended."""

from aegis_core.result import Result, ResultStatus

__all__ = ["Result", "ResultStatus"]
