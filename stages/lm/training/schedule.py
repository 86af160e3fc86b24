"""The learning rate over time: a linear warm-up, then one of four shapes. t counts the steps from 0, where the rate is 0.

Cosine: Loshchilov and Hutter 2017, "SGDR". Linear: Devlin et al. 2019, "BERT", appendix A.2. Warm-up, stable, decay: Hu et al.
2024, "MiniCPM", section 4; its decay is linear here, after Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond
Fixed Training Durations".
"""

import math


def cosine_schedule(t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_end: int) -> float:
    """The learning rate of step `t`: 0 at t = 0, the maximum at `warmup_steps`, the minimum from `decay_end` on."""
    left = 0.5 * (1 + math.cos(math.pi * _share(t, warmup_steps, decay_end)))  # 1 .. 0
    return _warmed_up(t, warmup_steps, min_learning_rate + left * (max_learning_rate - min_learning_rate), max_learning_rate)


def linear_schedule(t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_end: int) -> float:
    """As `cosine_schedule`, along a straight line."""
    return wsd_schedule(t, max_learning_rate, min_learning_rate, warmup_steps, warmup_steps, decay_end)


def wsd_schedule(
    t: int, max_learning_rate: float, min_learning_rate: float, warmup_steps: int, decay_start: int, decay_end: int
) -> float:
    """The maximum from `warmup_steps` to `decay_start`, and from there along a straight line to the minimum at `decay_end`."""
    left = 1 - _share(t, decay_start, decay_end)  # 1 .. 0
    return _warmed_up(t, warmup_steps, min_learning_rate + left * (max_learning_rate - min_learning_rate), max_learning_rate)


def constant_schedule(t: int, learning_rate: float, warmup_steps: int) -> float:
    """The same learning rate from `warmup_steps` on."""
    return _warmed_up(t, warmup_steps, learning_rate, learning_rate)


def _warmed_up(t: int, warmup_steps: int, later: float, max_learning_rate: float) -> float:
    return t / warmup_steps * max_learning_rate if t < warmup_steps else later


def _share(t: int, start: int, end: int) -> float:
    """How much of the way from `start` to `end` is done: 0 .. 1."""
    if t >= end:
        return 1.0
    return max(0, t - start) / (end - start)
