"""What attention costs by the length of the text: kernels of the same attention, kinds of attention, and a cache in decoding.

    python tests/benchmarks/attention.py [--rounds 5] [--lengths 256 1024 4096] [--heads 4] [--d-head 32] [--threads 2]

The first table is one attention layer's forward and backward pass in ms; that all kernels agree is what the tests say. The second
is a model of four layers that decodes: ms for the last token of a text with a cache and without, and the cache's size. Rounds are
interleaved, so that a busy machine troubles all alike; shown is the median, with the least and the greatest.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.lm.models import registry  # noqa: E402
from stages.lm.models.attention.linear import Features, feature_map, parallel  # noqa: E402
from stages.lm.models.attention.linear import attention as chunked  # noqa: E402
from stages.lm.models.attention.pattern import Pattern  # noqa: E402
from stages.lm.models.kernels import ATTENTION  # noqa: E402
from stages.lm.models.settings import TransformerSettings  # noqa: E402

WINDOW = 128
MOST_SCORES = 4096
"""Beyond this length, ways that hold all scores are left out."""
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "multi-query": {"kv_heads": 1},
    "sliding window": {"attention": "sliding", "window": WINDOW},
    "strided": {"attention": "strided", "stride": 32},
    "linear": {"attention": "linear"},
}
VOCAB = 1024


def linear(form: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A form of linear attention from plain queries and keys."""

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pattern: Pattern) -> torch.Tensor:
        query, key = feature_map(query), feature_map(key)
        return form(Features(query, query), Features(key, key), value, pattern)

    return attend


def ways() -> dict[str, tuple[Callable[..., torch.Tensor], Pattern]]:
    """Every kernel of full attention that can train here, then the other kinds as they are computed by default."""
    kernels = {f"full, {name}": (kernel, Pattern()) for name, kernel in ATTENTION.items() if name != "flex"}
    return kernels | {
        f"sliding window of {WINDOW}": (ATTENTION["auto"], Pattern(window=WINDOW)),
        f"sliding window of {WINDOW}, flash": (ATTENTION["flash"], Pattern(window=WINDOW)),
        "strided by 32": (ATTENTION["auto"], Pattern(stride=32)),
        "linear, parallel": (linear(parallel), Pattern()),
        "linear, chunked": (linear(chunked), Pattern()),
    }


def train_seconds(attend: Callable[..., torch.Tensor], pattern: Pattern, length: int, heads: int, d_head: int) -> float:
    query, key, value = (torch.randn(1, heads, length, d_head, requires_grad=True) for _ in range(3))
    began = time.perf_counter()
    attend(query, key, value, pattern).sum().backward()
    return time.perf_counter() - began


def decode_seconds(kind: str, length: int, heads: int, d_head: int) -> tuple[float, float, int]:
    """Of the last token: with a cache, without one; and the cache's bytes."""
    shape = {"layers": 4, "heads": heads, "d_model": heads * d_head, "context_length": length}
    settings = TransformerSettings.model_validate({"family": "transformer", **shape, **KINDS[kind]})
    model: Any = registry.build(settings, VOCAB, 0)
    ids = torch.randint(VOCAB, (1, length))
    state = model.start(1)
    model.advance(state, ids[:, :-1])
    began = time.perf_counter()
    model.advance(state, ids[:, -1:])
    between = time.perf_counter()
    model.advance(model.start(1), ids)
    tensors = [tensor for cache in state.caches for tensor in vars(cache.own).values() if isinstance(tensor, torch.Tensor)]
    return between - began, time.perf_counter() - between, sum(tensor.nbytes for tensor in tensors)


def shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:8.2f} ({min(seconds) * 1e3:.2f}-{max(seconds) * 1e3:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--d-head", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.heads, options.d_head)
    print(f"torch {torch.__version__}, {options.threads} threads, {platform.processor() or platform.machine()}")
    print(
        f"\nforward and backward in ms, {options.heads} heads of {options.d_head}, median of {options.rounds} (least-greatest)\n"
    )
    print(f"{'':<32}" + "".join(f"{length:>26}" for length in options.lengths))
    times: dict[tuple[str, int], list[float]] = {}
    for number in range(options.rounds + 1):  # the first does not count
        for name, (attend, pattern) in ways().items():
            for length in options.lengths:
                if number and (length <= MOST_SCORES or ("parallel" not in name and "reference" not in name)):
                    times.setdefault((name, length), []).append(train_seconds(attend, pattern, length, *shape))
                elif not number:
                    train_seconds(attend, pattern, min(length, 256), *shape)
    for name in ways():
        cells = (times.get((name, length)) for length in options.lengths)
        print(f"{name:<32}" + "".join(f"{shown(cell) if cell else '-':>26}" for cell in cells))
    print("\nthe last token in ms: with a cache, without; size of the cache\n")
    for kind in KINDS:
        for length in options.lengths:
            found = [decode_seconds(kind, length, *shape) for _ in range(options.rounds + 1)][1:]
            cached, uncached = shown([one for one, _, _ in found]), shown([two for _, two, _ in found])
            print(f"{kind:<16}{length:>7}{cached:>28}{uncached:>32}{found[0][2] / 1e6:>10.3f} MB")


if __name__ == "__main__":
    main()
