"""What a transformer costs: parameters, operations, what a training step keeps, what decoding keeps."""

from stages.lm.models.attention.fused import PLAIN_KEYS
from stages.lm.models.attention.linear import CHUNK
from stages.lm.models.attention.pattern import Pattern
from stages.lm.models.attention.sliding import is_banded
from stages.lm.models.block_settings import GATED
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.stack_settings import StackSettings
from stages.lm.training.settings import TrainingSettings

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


def saved(settings: StackSettings, training: TrainingSettings) -> dict[str, int]:
    """Bytes that autograd keeps for the backward pass of one micro-batch, but for the output layer.

    norms: what all of them keep. attention: in each block its input, the attended values, and what gives these. feed_forward: its
    input, and what W1, the activation, W3 and the gate give; of ReLU the result alone.
    """
    width, d = _width(training), settings.d_model
    positions, layers = training.micro_batch * settings.context_length, settings.layers
    inner = 1 if settings.feed_forward == "relu" else 4 if settings.feed_forward in GATED else 2
    queries = settings.heads * settings.head_width
    return {
        "norms": positions * number_of_norms(settings) * _norm(settings),
        "attention": layers * positions * (width * (d + queries) + _saved_by_qk_norms(settings)),
        "attention_scores": sum(_saved_by_attention(settings, index, training) for index in range(layers)),
        "feed_forward": layers * positions * width * (d + inner * settings.feed_forward_width),
        "dropout": (2 * layers + 1) * positions * FLOAT32 * d if settings.dropout else 0,
    }


def _saved_by_attention(settings: StackSettings, index: int, training: TrainingSettings) -> int:
    """Between the projections of block `index`: queries, keys and values as they are multiplied (shared ones once for every head
    that reads them), and the weights: of all pairs, of those in the band, or in the fused kernels one number a query and head."""
    block, length, heads = settings.of_layer(index), settings.context_length, settings.heads
    queries = heads * settings.head_width
    width, positions = _width(training), training.micro_batch * length
    if block.attention == "linear":
        return _saved_by_linear(settings, positions, width)
    if block.window and is_banded(Pattern(window=block.window), length, length):
        padded = training.micro_batch * (length + -length % block.window)
        return width * padded * (queries + 2 * 2 * queries + 2 * heads * block.window)
    if length <= PLAIN_KEYS:
        return width * positions * (3 * queries + heads * length)
    mask = FLOAT32 * length * length if block.attention != "full" else 0
    return positions * (width * 3 * queries + FLOAT32 * heads) + mask


def _saved_by_linear(settings: StackSettings, positions: int, width: int) -> int:
    """Queries and keys before and after phi, also rotated; values; numerator, and the weights inside a chunk."""
    queries, shared = settings.heads * settings.head_width, settings.key_value_heads * settings.head_width
    features = 3 if settings.position == "rope" else 2
    chunk = min(CHUNK, settings.context_length)
    return width * positions * (features * (queries + shared) + shared + queries + settings.heads * chunk)


def number_of_norms(settings: StackSettings) -> int:
    """Two in each block, and a last one where the blocks leave the residual stream without one."""
    return {"pre": 2 * settings.layers + 1, "post": 2 * settings.layers, "none": 0}[settings.norm_position]


def _norm(settings: StackSettings) -> int:
    """Bytes that one norm keeps of each position: its input and two numbers, or (RMSNorm) its input, this divided by its root
    mean square, and the inverse of that."""
    return FLOAT32 * (settings.d_model + 2) if settings.norm == "layer" else FLOAT32 * (2 * settings.d_model + 1)


def _saved_by_qk_norms(settings: StackSettings) -> int:
    """Bytes of each position, as `_norm` has them."""
    heads = settings.heads + settings.key_value_heads
    return FLOAT32 * heads * (2 * settings.head_width + 1) if settings.qk_norm else 0


def _width(training: TrainingSettings) -> int:
    """Bytes of a number in the matrix products."""
    return 2 if training.precision == "bf16" else FLOAT32
