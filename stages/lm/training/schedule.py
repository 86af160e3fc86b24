"""The learning rate over time: linear warm-up, then half a cosine (Loshchilov and Hutter 2017, "SGDR")."""

import math


def cosine_schedule(t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_end: int) -> float:
    """The learning rate of step `t`: 0 at t = 0, the maximum at `warmup_steps`, the minimum from `decay_end` on."""
    if t < warmup_steps:
        return t / warmup_steps * max_learning_rate
    if t >= decay_end:
        return min_learning_rate
    done = (t - warmup_steps) / (decay_end - warmup_steps)  # 0 .. 1
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * done)) * (max_learning_rate - min_learning_rate)
