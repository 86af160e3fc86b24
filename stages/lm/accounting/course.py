"""The course's questions about resources, answered: `python -m stages.lm.accounting.course`.

Parameters and operations of the GPT-2 family, what a long context changes, the memory of AdamW and the batch that it leaves room
for, days of training, the shares of the OPT models, 6 N D against the exact count, and arithmetic intensity. The questions are
those of CS336, assignment 1, "Transformer LM resource accounting" and "Resource accounting for training with AdamW"; the shapes
of GPT-2 are Radford et al.'s (2019), the modules those of today.
"""

import sys
from typing import Any, NamedTuple

from stages.lm.accounting import intensity, opt
from stages.lm.accounting.course_memory import course_memory
from stages.lm.accounting.course_tables import as_text, tables
from stages.lm.accounting.devices import DEVICES
from stages.lm.accounting.flops import PASSES, forward_flops_per_token
from stages.lm.accounting.known_models import KNOWN_MODELS
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.update import ADAMW
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings

FLOAT32 = 4
SHAPES = {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "XL": (48, 1600, 25)}
"""Layers, d_model, heads."""
VOCAB = 50_257
LENGTHS = (1024, 2048, 4096, 8192, 16_384, 32_768)
BATCHES = (1, 4, 16, 64, 256, 1024)

Row = dict[str, Any]


def gpt2(name: str, feed_forward: str = "swiglu", context_length: int = 1024) -> TransformerSettings:
    """A model of the family, with a feed-forward network four times as wide as the residual stream."""
    layers, d_model, heads = SHAPES[name]
    shape = {"layers": layers, "d_model": d_model, "heads": heads, "d_ff": 4 * d_model, "context_length": context_length}
    return TransformerSettings.model_validate({"family": "transformer", "feed_forward": feed_forward, **shape})


class Memory(NamedTuple):
    """Bytes at the peak of training in float32: `sequence` for each sequence of a batch, `fixed` for parameters, gradients and
    the two means of AdamW."""

    sequence: int
    fixed: int

    def largest_batch(self, device: float) -> int:
        """The most sequences that fit into so many bytes; 0 where not even the fixed part leaves room for one."""
        return max(0, int((device - self.fixed) // self.sequence))


def adamw_memory(settings: TransformerSettings, vocab_size: int, with_gate: bool = False) -> Memory:
    """By the handout's list of activations, which leaves the gate of a gated network out unless `with_gate` is True."""
    parts = course_memory(settings, vocab_size, 1, count_gate=with_gate)
    fixed = parts["weights"] + parts["gradients"] + parts["optimizer"]
    return Memory(parts["total"] - fixed, fixed)


def days(flops: float, per_second: float) -> float:
    """Days for so many operations."""
    return flops / per_second / 86_400


def family() -> list[Row]:
    """Parameters, their bytes, and the operations of a forward pass over one sequence, of every size with either network."""
    return [_model(name, gpt2(name, kind)) for name in SHAPES for kind in ("swiglu", "silu")]


def long_context(name: str = "XL") -> list[Row]:
    """The same for ever longer sequences."""
    return [_model(name, gpt2(name, context_length=length)) for length in LENGTHS]


def _model(name: str, settings: TransformerSettings) -> Row:
    flops = forward_flops_per_token(settings, VOCAB)
    total, length = flops.pop("total"), settings.context_length
    return {
        "model": name,
        "feed_forward": "gated" if settings.feed_forward in GATED else "plain",
        "context_length": length,
        "parameters": parameters(settings, VOCAB, 0)["total"],
        "bytes": FLOAT32 * parameters(settings, VOCAB, 0)["total"],
        "forward_flops": length * total,
        "shares": {part: 100 * value / total for part, value in flops.items()},
    }


def budget(
    device: float = 80e9, peak: float = 19.5e12, utilisation: float = 0.5, steps: int = 400_000, batch: int = 1024
) -> list[Row]:
    """Of GPT-2 XL, on a device of so many bytes and operations a second: memory and the batch that fits, and days of training."""
    rows = []
    for kind, with_gate in (("swiglu", False), ("swiglu", True), ("silu", False)):
        settings = gpt2("XL", kind)
        memory = adamw_memory(settings, VOCAB, with_gate)
        total = PASSES * forward_flops_per_token(settings, VOCAB)["total"] * settings.context_length * steps * batch
        name = {"swiglu": "gated, its gate not counted", "silu": "plain"}[kind] if not with_gate else "gated"
        rows.append(
            {
                "feed_forward": name,
                "bytes_per_sequence": memory.sequence,
                "bytes_fixed": memory.fixed,
                "largest_batch": memory.largest_batch(device),
                "update_flops": ADAMW * parameters(settings, VOCAB, 0)["total"],
                "training_flops": total,
                "days": days(total, utilisation * peak),
            }
        )
    return rows


def opt_shares() -> list[Row]:
    """Of every size of OPT: the published line, what its formula gives, and the right count."""
    return [
        {
            "model": name,
            "published": {"flops": size.published.flops, "shares": list(size.published.shares)},
            "formula": {"flops": opt.as_published(size).total, "shares": list(opt.as_published(size).shares)},
            "right": {"flops": opt.right(size).total, "shares": list(opt.right(size).shares)},
        }
        for name, size in opt.SIZES.items()
    ]


def six_nd() -> list[Row]:
    """Operations of training for each token of known models at full context, beside 6 N: N all parameters, or those in matrix
    products alone. The former counts tables that are looked up in; both miss the scores."""
    rows = []
    for name, (settings, vocab_size) in KNOWN_MODELS.items():
        counted = parameters(settings, vocab_size, 0)
        exact = PASSES * forward_flops_per_token(settings, vocab_size)["total"]
        inside = counted["attention"] + counted["feed_forward"] + counted["head"]
        numbers = {"exact": exact, "all": 6 * counted["total"], "products": 6 * inside}
        errors = {f"{which}_error": 100 * (numbers[which] / exact - 1) for which in ("all", "products")}
        rows.append({"model": name, "context_length": settings.context_length, **numbers, **errors})
    return rows


def intensities(name: str = "XL") -> dict[str, Any]:
    """Operations for each byte, of a model of the family: training by component, decoding by batch; and those of devices."""
    settings = gpt2(name)
    return {
        "model": f"GPT-2 {name}",
        "context_length": settings.context_length,
        "training": {part: work.intensity for part, work in intensity.training(settings, VOCAB, batch=1).items()},
        "update": intensity.ADAMW,
        "decoding": [
            {"batch": batch}
            | {part: work.intensity for part, work in intensity.decoding(settings, VOCAB, batch, settings.context_length).items()}
            for batch in BATCHES
        ],
        "devices": {name.upper(): DEVICES[name].bf16 / DEVICES[name].bandwidth for name in ("a100", "h100")},
    }


def answers(
    device: float = 80e9, peak: float = 19.5e12, utilisation: float = 0.5, steps: int = 400_000, batch: int = 1024
) -> Row:
    """All of them, as plain data."""
    return {
        "family": family(),
        "long_context": long_context(),
        "budget": budget(device, peak, utilisation, steps, batch),
        "opt": opt_shares(),
        "six_nd": six_nd(),
        "intensity": intensities(),
    }


if __name__ == "__main__":
    sys.stdout.write(as_text(tables(answers())) + "\n")
