"""Policies: what a file may say, what it means, and how it is evaluated fast. Pure: no I/O beyond reading policy files."""
