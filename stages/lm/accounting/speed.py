"""How fast a model will train and write, on this machine by its profile or on another by its data sheet, and what that costs.

What rehearses writing is named by strings: the code of decoding changes promises, and is no reason to make an estimate again.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from stages.lm.accounting.devices import DEVICES
from stages.lm.accounting.operations import of_step
from stages.lm.accounting.roofline import Machine, Sheet, breakdown
from stages.lm.accounting.settings import EstimateSettings, MachineSettings
from stages.lm.errors import UserError
from stages.lm.inference.settings import DecodingSettings
from stages.lm.models.settings import ModelSettings
from stages.lm.training.batches import Batch

PROMPT, TOKENS = 16, 128
"""The texts by which the speed of writing is told: tokens of their prompts, and tokens written."""
AT_ONCE = (1, 16)
"""How many, beside as many as the run will write at once."""
UNREHEARSED = (DataDependentOutputException, DynamicOutputShapeException, NotImplementedError, UserError)
"""What ends a rehearsal: shapes that depend on numbers, of which there are none, and kernels that want another device."""


def predict(settings: EstimateSettings, vocab_size: int, batch: Batch, flops_per_step: int) -> dict[str, Any]:
    """Seconds of a step of one process and where they go; nothing for what no profile covers: GPUs here, compiled models, counts.

    The share of the peak counts the FLOPs that the model needs, not those that kernels repeat.
    """
    training = settings.training
    if training.compile and settings.machine.device == "here":
        return {}
    machine = _machine(settings, training.matmul_precision == "highest", lambda: _profile().of_training(training))
    if machine is None:
        return {}
    try:
        operations = of_step(settings.model, training, vocab_size, batch)
    except UNREHEARSED:
        return {}
    parts = breakdown(operations, machine)
    seconds = parts.pop("total")
    return {
        "machine": settings.machine.device,
        "seconds_per_step": seconds,
        "tokens_per_second": batch.tokens / seconds,
        "utilisation": flops_per_step / seconds / machine.peak(training.precision),
        "shares": {part: share / sum(parts.values()) for part, share in parts.items()},
    }


def predict_writing(settings: EstimateSettings, vocab_size: int) -> dict[str, float]:
    """Tokens per second of a language model, by how many texts it writes at once; nothing where no rehearsal is possible."""
    model = settings.model
    if model.task != "language model" or model.trained_by != "gradient":
        return {}
    # The decode stage leaves products exact, as torch does.
    machine = _machine(settings, True, lambda: _profile().of_writing(settings.training.threads))
    if machine is None:
        return {}
    try:
        asked = sorted({*AT_ONCE, settings.texts_at_once})
        return {f"{texts} at once": 1 / _seconds_per_token(model, vocab_size, texts, machine) for texts in asked}
    except UNREHEARSED:
        return {}


def _profile() -> Any:
    return import_module("stages.lm.accounting.profile")


def _machine(settings: EstimateSettings, exact: bool, profile_of: Callable[[], Machine | None]) -> Machine | None:
    """What the settings name, with exact products in fp32 or not; None where this machine has no profile, as GPUs have none."""
    named = settings.machine
    if named.device != "here":
        return Sheet(DEVICES[named.device], named.attainable, exact)
    return None if settings.training.device != "cpu" and torch.cuda.is_available() else profile_of()


def _seconds_per_token(model: ModelSettings, vocab_size: int, texts: int, machine: Machine) -> float:
    room = getattr(model, "context_length", None) or PROMPT + TOKENS
    prompt = max(1, min(PROMPT, room // 8))
    tokens = max(2, min(TOKENS, room - prompt - 1))
    of_texts = import_module("stages.lm.accounting.texts").of_texts
    begin, token = of_texts(model, vocab_size, texts, prompt, tokens, DecodingSettings())
    seconds = breakdown(begin, machine)["total"] + (tokens - 1) * breakdown(token, machine)["total"]
    return float(seconds / (tokens * texts))


def price(seconds: float, machine: MachineSettings, devices: int = 1) -> dict[str, float]:
    """Energy in kWh and money in the settings' currency for so many seconds of all devices; what is not known is left out."""
    hours = devices * seconds / 3600
    watts = machine.watts or (DEVICES[machine.device].watts if machine.device != "here" else None)
    found: dict[str, float] = {} if watts is None else {"energy_kwh": hours * watts / 1000}
    rates: Mapping[str, float | None] = {
        "energy": None if watts is None or machine.price_per_kwh is None else found["energy_kwh"] * machine.price_per_kwh,
        "devices": None if machine.price_per_device_hour is None else hours * machine.price_per_device_hour,
    }
    costs = [cost for cost in rates.values() if cost is not None]
    return found | ({"cost": sum(costs)} if costs else {})
