"""Contestants take turns, so that a machine that slows down slows them all."""

import gc
import random
import time
from collections.abc import Callable

# Between two turns, in seconds: threads of one library spin for a moment after their work, and would disturb the next.
PAUSE = 0.02


def interleaved(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every call in every round, after one round that does not count; each round has an order of its own."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    shuffle = random.Random(0).shuffle
    for call in calls.values():
        call()
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            shuffle(order)
            for name in order:
                time.sleep(PAUSE)
                start = time.perf_counter()
                calls[name]()
                seconds[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return seconds
