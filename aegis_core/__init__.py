"""The engine: judges a tool call, asks when it must, runs it, and writes all of it down. Knows no framework.

Users import from ``aegis``; this package is its implementation. Start reading at ``call.py``.
"""
