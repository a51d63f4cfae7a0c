"""The values of a governed call, and policies."""
