"""Benchmarks: ratios taken in one run, never asserts on time."""
