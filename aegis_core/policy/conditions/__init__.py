"""Conditions: small predicates with three answers. True, False, or None for *undecided*, which never loosens."""
