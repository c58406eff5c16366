"""Timings, started by `make bench`. A benchmark is not a test: nothing here decides whether a change is right."""
