"""Registered studies: each folder holds a plan that is older than its results, what runs it, and its report."""
