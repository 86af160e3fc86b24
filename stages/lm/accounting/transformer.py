"""What a transformer costs: parameters, operations, what decoding keeps."""

from stages.lm.models.attention.linear import CHUNK
from stages.lm.models.attention.pattern import Pattern
from stages.lm.models.attention.sliding import is_banded
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.stack_settings import StackSettings

FLOAT32 = 4


def parameters(settings: TransformerSettings, vocab_size: int) -> dict[str, int]:
    """By component, exact."""
    embedding = 0 if settings.tie_embeddings else vocab_size * settings.d_model
    return {"embedding": embedding, **block_parameters(settings), "head": vocab_size * settings.d_model}


def block_parameters(settings: StackSettings) -> dict[str, int]:
    """Of everything between the token vectors and the output layer."""
    d, layers = settings.d_model, settings.layers
    return {
        "positions": settings.context_length * d if settings.position == "learned" else 0,
        "attention": layers * _attention_parameters(settings),
        "feed_forward": layers * _feed_forward_parameters(settings),
        "norms": number_of_norms(settings) * d * (2 if settings.norm == "layer" else 1),
    }


def _attention_parameters(settings: StackSettings) -> int:
    """Of one block: the projections to queries, keys, values and back, their biases, the norms of queries and keys."""
    d = settings.d_model
    queries, shared = settings.heads * settings.head_width, settings.key_value_heads * settings.head_width
    biases = queries + 2 * shared + d if settings.bias else 0
    return 2 * d * queries + 2 * d * shared + biases + (2 * settings.head_width if settings.qk_norm else 0)


def _feed_forward_parameters(settings: StackSettings) -> int:
    """Of one block: two matrices, or three where it is gated, and their biases."""
    d, d_ff, outward = settings.d_model, settings.feed_forward_width, 2 if settings.feed_forward in GATED else 1
    return (outward + 1) * d * d_ff + (outward * d_ff + d if settings.bias else 0)


def forward_flops(settings: TransformerSettings, vocab_size: int, length: int) -> dict[str, int]:
    """Operations of a forward pass over one sequence of that length, by component.

    Scores are counted as they are computed, masked or not: over whole sequences, over the blocks of a sliding window, over the
    chunks of linear attention. What a kernel computes twice to save memory counts once.
    """
    scores = sum(_attention_flops(settings, index, length) for index in range(settings.layers))
    return {
        **block_flops(settings, length, scores),
        "head": 2 * length * settings.d_model * vocab_size,
    }


def block_flops(settings: StackSettings, length: int, scores: int) -> dict[str, int]:
    """Of all blocks, over one sequence; `scores` are the operations between queries, keys and values."""
    d, layers = settings.d_model, settings.layers
    matrices = 3 if settings.feed_forward in GATED else 2
    queries, shared = settings.heads * settings.head_width, settings.key_value_heads * settings.head_width
    return {
        "attention_projections": layers * 2 * length * d * (2 * queries + 2 * shared),
        "attention_scores": scores,
        "feed_forward": layers * 2 * length * matrices * d * settings.feed_forward_width,
    }


def _attention_flops(settings: TransformerSettings, index: int, length: int) -> int:
    """Between the projections of block `index`: scores and weighted sums, of all heads, for one sequence."""
    block, width = settings.of_layer(index), settings.heads * settings.head_width
    if block.attention == "linear":
        return _linear_flops(settings, length, CHUNK if settings.kernel == "auto" else length)
    if block.window and settings.kernel == "auto" and is_banded(Pattern(window=block.window), length, length):
        padded = length + -length % block.window
        return 2 * 2 * padded * 2 * block.window * width
    return 2 * 2 * length * length * width


def _linear_flops(settings: TransformerSettings, length: int, chunk: int) -> int:
    """Within a chunk, pairs are weighed (rotated, and not, for the sum of the weights) and values added up; every chunk but the
    first reads the state, and every one but the last extends it."""
    d, products = settings.head_width, 3 if settings.position == "rope" else 2
    total = 0
    for start in range(0, length, chunk):
        size = min(chunk, length - start)
        readers = settings.heads * (start > 0)
        writers = settings.key_value_heads * (start + size < length)
        total += settings.heads * products * 2 * size * size * d + (readers + writers) * 2 * size * d * d
    return total


def cache_bytes(settings: TransformerSettings, batch: int, length: int, number: int = FLOAT32) -> int:
    """Bytes that `batch` sequences of `length` positions need, `number` bytes for each number of a key or a value.

    Keys and values of all positions, or of those in the window; linear attention keeps sums of fixed size in float32 instead.
    """
    seen = min(length, settings.context_length)
    total = 0
    for index in range(settings.layers):
        block, d = settings.of_layer(index), settings.head_width
        if block.attention == "linear":
            total += FLOAT32 * d * (d + 1)
        else:
            total += number * 2 * d * min(seen, block.window or seen)
    return batch * settings.key_value_heads * total


def number_of_norms(settings: StackSettings) -> int:
    """Two in each block, and a last one where the blocks leave the residual stream without one."""
    return {"pre": 2 * settings.layers + 1, "post": 2 * settings.layers, "none": 0}[settings.norm_position]
