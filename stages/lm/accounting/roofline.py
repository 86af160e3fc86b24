"""How long operations take: each as long as the slower of its arithmetic and its traffic, and something for being called.

The roofline model (Williams, Waterman and Patterson 2009). For a device known from its data sheet the rates are constants; of a
machine that was calibrated they come from its profile.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from stages.lm.accounting.devices import Device
from stages.lm.accounting.operations import Operation

PARTS = ("matrix products", "attention", "memory", "calls")


class Machine(Protocol):
    """Something that says how long an operation takes."""

    def seconds(self, operation: Operation, together: int) -> dict[str, float]:
        """Of one call, by the part of `PARTS` that it belongs to; the matrix products of all calls move `together` bytes."""

    def peak(self, precision: str) -> float:
        """Operations per second of matrix products in a precision of the training settings, at their best."""


class Sheet:
    """A device of which a stated share is reached, of its rates and of its bandwidth."""

    CALL = 5e-6
    """Seconds to start a kernel; they overlap with the kernels before, so that only what is shorter is prolonged."""

    def __init__(self, device: Device, attainable: float, exact: bool = True) -> None:
        """`exact`: products of fp32 numbers are not rounded to TF32."""
        self.device, self.attainable = device, attainable
        self.rates = {"fp32": device.fp32 if exact else device.tf32, "bf16": device.bf16}

    def peak(self, precision: str) -> float:
        return self.rates[precision]

    def seconds(self, operation: Operation, together: int) -> dict[str, float]:  # noqa: ARG002, all of it comes from memory
        precision = "fp32" if "float32" in operation.kind else "bf16"
        arithmetic = operation.flops / (self.attainable * self.peak(precision))
        traffic = operation.bytes / (self.attainable * self.device.bandwidth)
        busy = max(arithmetic, traffic)
        called = max(0.0, self.CALL - busy) if operation.bytes else 0.0
        return {part_of(operation) if arithmetic >= traffic else "memory": busy, "calls": called}


def part_of(operation: Operation) -> str:
    """Where an operation's time is shown."""
    if any(product.batch > 1 for product in operation.products):
        return "attention"
    return "matrix products" if operation.flops else "memory"


def resident(operations: Iterable[tuple[Operation, int]]) -> int:
    """Bytes of all matrix products: about what has been in the cache since one of them was there."""
    return sum(count * operation.bytes for operation, count in operations if operation.products)


def breakdown(operations: Mapping[Operation, int], machine: Machine) -> dict[str, float]:
    """Seconds by part, and their total."""
    parts, together = dict.fromkeys(PARTS, 0.0), resident(operations.items())
    for operation, count in operations.items():
        for part, seconds in machine.seconds(operation, together).items():
            parts[part] += count * seconds
    return parts | {"total": sum(parts.values())}
