"""The memory that each of several devices takes at the peak of a training that they do together; `training.engines` says how.

ddp: each holds everything, and the buckets in which gradients are exchanged stay from step to step. fsdp: weights, gradients and
optimizer are in shards; put together are the model outside of its blocks, from the first to the last operation of a step, and two
blocks, one that computes and the next one. At the end of a step the gradients of what is outside of the blocks are copied, to be
summed into shards. What the exchange itself takes is not counted. Of two processes that exchange by gloo, the peak with ddp is
met within 1 %, or exceeded by the gradients once more, as DDP makes its buckets anew after the first step; with fsdp this is a
lower bound: they took 3 to 8 % more, and 19 % more where embeddings were a fifth of the weights and batches small.
"""

from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.memory import in_order, rehearsed
from stages.lm.accounting.parameters import parameters
from stages.lm.models.settings import ModelSettings
from stages.lm.training.engines import Engine
from stages.lm.training.settings import TrainingSettings

FLOAT32 = 4
SHARDED = ("weights", "gradients", "optimizer")


def spread_memory(
    settings: ModelSettings,
    training: TrainingSettings,
    vocab_size: int,
    ranks: int,
    engine: Engine,
    lengths: Lengths | None = None,
) -> dict[str, int]:
    """Bytes by component on each of `ranks` devices, and their `total`; the batch is divided among them."""
    share = training.model_copy(update={"batch_size": max(1, training.batch_size // ranks)})
    log = rehearsed(settings, share, vocab_size, lengths)
    weights = FLOAT32 * parameters(settings, vocab_size, 0)["total"]
    if engine == "ddp":
        return in_order(log.peak({"gradients": 0}) | {"gradients": weights})
    outside = weights - sum(log.blocks)
    computing = log.peak(dict.fromkeys(SHARDED, 1 / ranks)) | {"unsharded": outside + 2 * max(log.blocks, default=0)}
    optimizer = sum(size for size, use in zip(log.sizes, log.uses, strict=True) if use == "optimizer")
    shards = dict(zip(SHARDED, (weights // ranks, weights // ranks, optimizer // ranks), strict=True))
    summing = shards | {"unsharded": 3 * outside + outside // ranks}
    return in_order(max(computing, summing, key=lambda parts: sum(parts.values())))
