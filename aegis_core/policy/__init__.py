"""Policies: what a file may say, what it means, and how it is evaluated fast. No I/O but reading policy files."""
