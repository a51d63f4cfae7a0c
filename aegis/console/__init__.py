"""The console: what waits, what happened and what could be decided by rule, in a browser. Start at ``app``."""
