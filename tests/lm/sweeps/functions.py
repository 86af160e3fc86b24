"""Functions with known minima: what a search is given, the function, and its minimum.

Branin and Hartmann 3: Surjanovic and Bingham, "Virtual Library of Simulation Experiments". The last one is like a sweep of
trainings: a bowl over the logarithm of a learning rate, two choices, and one number.
"""

import math
from collections.abc import Callable
from typing import Any

Function = Callable[[dict[str, Any]], float]

# Search settings name parameters of experiments: weight_decay, eps and learning_rate are any positive numbers.
X, Y, Z = "training.weight_decay", "training.eps", "training.learning_rate"
A = ((3.0, 10.0, 30.0), (0.1, 10.0, 35.0), (3.0, 10.0, 30.0), (0.1, 10.0, 35.0))
P = ((0.3689, 0.117, 0.2673), (0.4699, 0.4387, 0.747), (0.1091, 0.8732, 0.5547), (0.0381, 0.5743, 0.8828))


def branin(given: dict[str, Any]) -> float:
    x, y = given[X] - 5, given[Y]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann(given: dict[str, Any]) -> float:
    point = (given[X], given[Y], given[Z])
    distances = [sum(a * (v - p) ** 2 for a, p, v in zip(*row, point, strict=True)) for row in zip(A, P, strict=True)]
    return -sum(weight * math.exp(-distance) for weight, distance in zip((1.0, 1.2, 3.0, 3.2), distances, strict=True))


def training(given: dict[str, Any]) -> float:
    chosen = {"cosine": 0.0, "linear": 0.1, "constant": 0.3}[given["training.schedule"]]
    matched = 0.0 if given["training.optimizer"] == "muon" else 0.2
    return float((math.log10(given[Z]) + 2.5) ** 2 + chosen + matched + (given[X] - 0.3) ** 2)


def between(low: float, high: float) -> dict[str, float]:
    return {"min": low, "max": high}


FUNCTIONS: dict[str, tuple[dict[str, Any], Function, float]] = {
    "branin": ({X: between(1.0e-9, 15.0), Y: between(1.0e-9, 15.0)}, branin, 0.397887),
    "hartmann": ({name: between(1.0e-9, 1.0) for name in (X, Y, Z)}, hartmann, -3.86278),
    "training": (
        {
            Z: {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0},
            X: between(0.0, 1.0),
            "training.schedule": {"values": ["cosine", "linear", "constant"]},
            "training.optimizer": {"values": ["adamw", "muon"]},
        },
        training,
        0.0,
    ),
}
