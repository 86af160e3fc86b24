"""Points of the unit cube that ask for no results: grids, random draws, and a quasi-random sequence.

The quasi-random one is an additive recurrence, u_k = (shift + k alpha) mod 1, with the alphas of Roberts 2018, "The unreasonable
effectiveness of quasirandom sequences": powers of 1 / phi_d, where phi_d is the root of x^(d+1) = x + 1.
"""

import json
import random
from collections.abc import Iterator, Mapping
from itertools import count, product
from typing import Any, NamedTuple

from stages.lm.errors import UserError
from stages.lm.sweeps.distributions import listed, value_at
from stages.lm.sweeps.settings import Parameter

Space = Mapping[str, Parameter]
"""The parameters of a sweep by dotted path."""

Unit = dict[str, float]
"""A point of the unit cube: a number for each parameter that is no constant."""


class Point(NamedTuple):
    """Values of all parameters, and where they lie in the unit cube."""

    parameters: dict[str, Any]
    unit: Unit

    @property
    def key(self) -> str:
        """Equal for equal values."""
        return json.dumps(self.parameters, sort_keys=True)


def free(space: Space) -> list[str]:
    """The names of the parameters that are no constants."""
    return [name for name, parameter in space.items() if parameter.distribution != "constant"]


def at(space: Space, unit: Unit) -> Point:
    """The values at a point of the unit cube."""
    return Point({name: value_at(parameter, unit.get(name, 0.0)) for name, parameter in space.items()}, unit)


def grid(space: Space) -> Iterator[Point]:
    """Every combination of the listed values once, the last parameter fastest. Raises UserError for one without a list."""
    lists = {name: listed(parameter) for name, parameter in space.items()}
    for name, values in lists.items():
        if values is None:
            raise UserError(
                f"parameters.{name}: method grid needs a list of values, which distribution {space[name].distribution} is not; "
                "give values, or q_uniform with a step q"
            )
    names, seen = free(space), set()
    for chosen in product(*(list(enumerate(values or ())) for values in lists.values())):
        placed = dict(zip(lists, chosen, strict=True))
        unit = {name: (placed[name][0] + 0.5) / len(lists[name] or ()) for name in names}
        point = Point({name: value for name, (_, value) in placed.items()}, unit)
        if point.key not in seen:
            seen.add(point.key)
            yield point


def independent(space: Space, seed: int) -> Iterator[Point]:
    """Random draws: those of W&B's engine after `random.seed(seed)`, which draws for constants too."""
    generator, names = random.Random(seed), free(space)
    while True:
        drawn = {name: generator.random() for name in space}
        yield at(space, {name: drawn[name] for name in names})


def quasi_random(space: Space, seed: int) -> Iterator[Point]:
    """Draws that fill the cube more evenly than independent ones."""
    generator, names = random.Random(seed), free(space)
    shifts = [generator.random() for _ in names]
    root = 2.0
    for _ in range(64):  # a contraction: it is exact long before
        root = (1 + root) ** (1 / (len(names) + 1))
    for number in count(1):
        yield at(
            space,
            {
                name: (shift + number * root ** -(axis + 1)) % 1
                for axis, (name, shift) in enumerate(zip(names, shifts, strict=True))
            },
        )
