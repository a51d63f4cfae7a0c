"""Keeps secrets out of everything that is stored, shown or logged. Pure: no I/O, importable from anywhere."""

from aegis_core.redact.redactor import MASK, RECORD, REDACTOR, Bounds, Redactor

__all__ = ["MASK", "RECORD", "REDACTOR", "Bounds", "Redactor"]
