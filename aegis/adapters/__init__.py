"""Doors into governed calls, one module a framework. None loads its framework before it is used."""
