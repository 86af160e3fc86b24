"""A machine's profile: how fast it multiplies matrices of every shape, and what each kind of operation costs on it.

It is measured once, in some seconds, and kept as a file: it belongs to the machine, not to a config. Matrix products are measured
on a grid of shapes, and the operations of a few small models are timed one by one while these take real training steps and write
real texts. What a call takes that does nothing is the clock's and is taken off. What the whole of a step takes beyond the sum of
its operations is spread over them: a factor, so much for each call from Python, and so much for each by autograd.

A machine that does other work meanwhile is measured again, and its profile is not kept if that does not end (`quiet.py`).
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.lm import locks, provenance
from stages.lm.accounting import clocked, costs, products, quiet
from stages.lm.accounting.clocked import Watched
from stages.lm.accounting.costs import Cost, Products, Timed
from stages.lm.accounting.kept import key_of, write
from stages.lm.accounting.operations import Operation
from stages.lm.accounting.products import Grid
from stages.lm.accounting.roofline import part_of, resident
from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse
from stages.lm.training import machine
from stages.lm.training.settings import TrainingSettings

log = logging.getLogger("stagecraft")

FOLDER = Path("state") / "machines"
FORMAT = 3
ANY = "any"
"""The cost of kinds that the small models have none of: that of all kinds without matrix products together."""


class Profile(Settings):
    """What was measured of a machine."""

    about: dict[str, Any]
    products: dict[str, Grid]
    streams: Grid
    """Bytes per second of thin products, by their rows and the bytes of all matrices that take turns: few stay in the cache."""
    costs: dict[str, Cost] = {}
    whole: float = 1.0
    """How much longer a step takes than its operations one by one."""
    python: float = 0.0
    """And seconds more for each call from Python."""
    autograd: float = 0.0
    """The same for each by autograd."""
    spread: float = 1.0
    """The median step over the fastest one, in the middle of the small models: how well their repetitions agree."""

    def alone(self, operation: Operation, together: int) -> Products:
        """The matrix products inside, where those of all operations read and write `together` bytes."""
        if not operation.products:
            return Products(0.0, 0.0)
        arithmetic = sum(products.seconds(product, self.products) for product in operation.products)
        return Products(arithmetic, products.reading(operation, together, self.streams))

    def seconds(self, operation: Operation, together: int) -> dict[str, float]:
        cost = self.costs.get(operation.kind) or self.costs[ANY]
        moving = cost.seconds(operation, self.alone(operation, together)) - cost.fixed
        called = self.autograd if operation.backward else self.python
        return {part_of(operation): self.whole * moving, "calls": self.whole * cost.fixed + called}

    def peak(self, precision: str) -> float:
        """Operations per second of the fastest product measured."""
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
        return max(rate for name, grid in self.products.items() if name.startswith(dtype) for rate in grid.rates)

    def fitted(self, examples: Iterable[Watched]) -> "Profile":
        """With the costs that explain these examples, of which a short one counts as much as a long one."""
        examples = list(map(_net, examples))
        kinds: dict[str, list[tuple[Timed, Products]]] = defaultdict(list)
        for example in examples:
            together = _together(example)
            for call in example.calls:
                kinds[call.operation.kind].append((call, self.alone(call.operation, together)))
        moving = [call for calls in kinds.values() for call in calls if call[0].operation.bytes]
        kinds[ANY] = [call for call in moving if not call[0].operation.products]
        found = self.model_copy(update={"costs": {kind: costs.fit(calls) for kind, calls in kinds.items()}})
        backward = [sum(call.operation.backward for call in example.calls) for example in examples]
        sums = [[found._sum(one), len(one.calls) - count, count] for one, count in zip(examples, backward, strict=True)]
        fitted = costs.least_squares(np.array(sums, float), np.array([example.seconds for example in examples]), power=1.0)
        spread = float(np.median([example.spread for example in examples]))
        return found.model_copy(update=dict(zip(("whole", "python", "autograd"), map(float, fitted), strict=True), spread=spread))

    def _sum(self, example: Watched) -> float:
        together = _together(example)
        return sum(sum(self.seconds(call.operation, together).values()) for call in example.calls)


def _net(example: Watched) -> Watched:
    """Without what the clock takes for each call: as much as the middle one of those that move nothing."""
    idle = [call.seconds for call in example.calls if not call.operation.bytes and not call.operation.flops]
    own = float(np.median(idle)) if idle else 0.0
    return example._replace(calls=[call._replace(seconds=max(0.0, call.seconds - own)) for call in example.calls])


def _together(example: Watched) -> int:
    return resident((call.operation, 1) for call in example.calls) // example.passes


def of_training(settings: TrainingSettings, folder: Path = FOLDER, *, measuring: bool = False) -> Profile | None:
    """This machine's profile for training with these threads and this arithmetic; None, or measured now, if there is none."""
    device = machine.prepare(settings)
    dtypes = [torch.float32] + [torch.bfloat16] * (settings.precision == "bf16")
    keys = {name: getattr(settings, name) for name in ("precision", "matmul_precision", "threads")}

    def measure() -> Profile:
        return _bare(device, dtypes).fitted(clocked.trained(settings, device))

    return _kept(folder, "training", device, keys, measure if measuring else None)


def of_writing(threads: int, folder: Path = FOLDER, *, measuring: bool = False) -> Profile | None:
    """This machine's profile for writing texts with so many threads; None, or measured now, if there is none."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # torch's default, which the decode stage leaves
    try:

        def measure() -> Profile:
            return _bare(device, [torch.float32]).fitted(clocked.written(device))

        return _kept(folder, "writing", device, {"threads": threads}, measure if measuring else None)
    finally:
        torch.set_float32_matmul_precision(before)


def _bare(device: torch.device, dtypes: list[torch.dtype]) -> Profile:
    return Profile(about={}, products=products.grids(device, dtypes), streams=products.streams(device))


def _kept(
    folder: Path, work: str, device: torch.device, keys: dict[str, Any], measure: Callable[[], Profile] | None
) -> Profile | None:
    """The profile in `folder`, or a new one; one process at a time, so that none measures beside another."""
    about = {"format": FORMAT, "work": work, **keys, **_hardware(device)}
    file = folder / f"{work}-{key_of(about)}.json"
    if measure is None and not file.exists():
        return None
    with locks.alone(folder / "profiles"):
        if file.exists():
            try:
                kept: Profile = parse(Profile, json.loads(file.read_text(encoding="utf-8")), str(file))
                return kept
            except (UserError, ValueError):
                log.warning("%s: is damaged; `python -m stages.estimate profile` measures again", file)
        if measure is None:
            return None
        log.info("measuring this machine for %s, once: matrix products of many shapes, steps of small models", work)
        began = time.perf_counter()
        found = quiet.undisturbed(measure, lambda profile: profile.spread, torch.get_num_threads())
        found = found.model_copy(update={"about": about})
        write(file, found.resolved())
        log.info("measured in %.0f s: %s", time.perf_counter() - began, file)
    return found


def _hardware(device: torch.device) -> dict[str, Any]:
    host = provenance.environment()["host"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else host["cpu"]
    return {"host": host["name"], "device": name, "cores": host["cores"], "torch": torch.__version__}
