"""Firing rates from spikes: momentum cells beside the Neural Data Transformer. `python -m experiments.neural`."""
