"""Operations outside the matrix products: norms, softmax, activations, rotations, biases, sums of the residual stream.

The rule: they are counted as `models/functional.py` and the layers write them, from their definitions. An operation on each
number of a tensor counts one for each number that it gives; a sum, a mean or a maximum one for each number that it takes.
Copying, masking and looking up rows count nothing. The backward pass counts twice the forward pass, like a product's.
"""

from stages.lm.accounting.transformer import number_of_norms
from stages.lm.accounting.vectors import counted, predictions
from stages.lm.models.attention.linear import CHUNK
from stages.lm.models.attention.pattern import Pattern
from stages.lm.models.attention.sliding import is_banded
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.block_settings import GATED
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.recurrent.settings import RecurrentSettings
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings, TranslatorSettings
from stages.lm.models.settings import ModelSettings, NgramSettings, TransformerSettings
from stages.lm.models.stack_settings import StackSettings
from stages.lm.models.vectors.settings import CbowSettings, VectorSettings

SOFTMAX = 5
"""Of each number: the maximum, less it, exp, the sum, divided by it."""
SCORE = 1 + SOFTMAX
"""Of each pair of a query and a key: divided by the root of the head's width, and softmax."""
LOSS = 4
"""Of each logit: the maximum, less it, exp, the sum; what remains is one number for each prediction."""
NORM = {"rms": 4, "layer": 7}
"""Of each number that is normalised; beside it 2 for each norm, eps and the root."""
ACTIVATION = {"relu": 2, "silu": 2, "gelu": 5, "swiglu": 2 + 1, "geglu": 5 + 1}
"""Of each number inside a feed-forward network; where it is gated, the gate's product too."""
ROTATION = 3
"""Of each number of a query or key: four products and two sums turn a pair."""
DROPOUT = 2
STEP = {"rnn": 3, "lstm": 17, "gru": 14}
"""Of each unit of a recurrent layer at each position, by the equations of its family."""

Parts = dict[str, float]


def elementwise_flops_per_token(settings: ModelSettings, vocab_size: int, sequence_length: int | None = None) -> dict[str, int]:
    """Of a forward pass by component, and their `total`, for each token; lengths as in `flops.forward_flops_per_token`."""
    if isinstance(settings, NgramSettings | HuggingFaceSettings):  # of the latter nobody knows them: they are left out
        return {"total": 0}
    if isinstance(settings, VectorSettings):
        length, parts = 1, _vectors(settings)
    else:
        length = sequence_length or settings.context_length
        parts = _whole(settings, vocab_size, length)
    per_token = {name: round(value / length) for name, value in parts.items() if value}
    return per_token | {"total": sum(per_token.values())}


def _whole(
    settings: TransformerSettings | BertSettings | RecurrentSettings | TranslatorSettings, vocab_size: int, length: int
) -> Parts:
    """Over one sequence, or over a pair of sentences of this length."""
    if isinstance(settings, RecurrentSettings):
        layers = settings.layers * STEP[settings.family] * length * settings.d_model
        return {"recurrence": layers, "head": LOSS * length * vocab_size}
    if isinstance(settings, TransformerSeq2SeqSettings | RnnSeq2SeqSettings):
        return translator(settings, vocab_size, length, length)
    parts = stack(settings, length)
    if isinstance(settings, BertSettings):
        d, predicted = settings.d_model, settings.mask_share * length
        normed = 0 if settings.norm_position == "none" else norm(settings.norm, d)
        parts["norms"] += (length + predicted) * normed
        return parts | {"head": predicted * (d + ACTIVATION["gelu"] * d + (1 + LOSS) * vocab_size)}  # and two biases
    if settings.position in ("sinusoidal", "learned"):
        parts["embedding"] += length * settings.d_model  # the token vectors have a scale beside them
    return parts | {"head": LOSS * length * vocab_size}


def stack(settings: StackSettings, length: float) -> Parts:
    """Of the blocks, what is added to the token vectors before them and the norm after them, over one sequence."""
    layers, d, d_ff, kind = settings.layers, settings.d_model, settings.feed_forward_width, settings.feed_forward
    queries, shared = settings.heads * settings.head_width, settings.key_value_heads * settings.head_width
    outward = 2 if kind in GATED else 1
    turned = ROTATION * (queries + shared) if settings.position == "rope" else 0
    biases = (queries + 2 * shared + d, outward * d_ff + d) if settings.bias else (0, 0)
    heads_normed = (settings.heads + settings.key_value_heads) * norm("rms", settings.head_width) if settings.qk_norm else 0
    added = settings.position in ("sinusoidal", "learned")
    dropped = DROPOUT * d if settings.dropout else 0
    return {
        "embedding": length * (added * d + dropped),
        "norms": length * (number_of_norms(settings) * norm(settings.norm, d) + layers * heads_normed),
        "attention_projections": layers * length * (turned + biases[0]),
        "attention_scores": sum(_scores(settings, index, length) for index in range(layers)),
        "feed_forward": layers * length * (ACTIVATION[kind] * d_ff + biases[1]),
        "residuals": layers * length * 2 * (d + dropped),
    }


def norm(kind: str, d: int) -> int:
    """Of one norm over d numbers."""
    return NORM[kind] * d + 2


def _scores(settings: StackSettings, index: int, length: float) -> float:
    """Between the projections of block `index`, for the pairs that are computed."""
    block, heads = settings.of_layer(index), settings.heads
    if block.attention == "linear":
        return _linear(settings, length)
    is_causal, is_fast = isinstance(settings, TransformerSettings), settings.kernel == "auto"
    if block.window and is_causal and is_fast and is_banded(Pattern(window=block.window), int(length), int(length)):
        padded = length + -length % block.window
        return SCORE * heads * padded * 2 * block.window
    return SCORE * heads * length * length


def _linear(settings: StackSettings, length: float) -> float:
    """elu and 1 of queries and keys; weights within a chunk; the state read and extended; the division."""
    heads, shared, d = settings.heads, settings.key_value_heads, settings.head_width
    chunk = CHUNK if settings.kernel == "auto" else int(length)
    total = length * d * (2 * (heads + shared) + heads)
    for start in range(0, int(length), chunk):
        size = min(chunk, int(length) - start)
        total += heads * (2 + 1) * size * size  # weights and their sizes hidden, the latter summed
        if start:  # numerator and denominator of the past are weighed and added, the latter after a sum over the width
            total += heads * size * (2 * (d + 1) + 2 * d)
        if start + size < length:
            total += shared * (size * d + (d * d + d) * (start > 0))
    return total


def translator(settings: TranslatorSettings, vocab_size: int, source: float, target: float) -> Parts:
    """Over a pair of sentences of so many tokens."""
    n, m, d = source, target, settings.d_model
    dropped = DROPOUT * d if settings.dropout else 0
    if isinstance(settings, RnnSeq2SeqSettings):
        compared = m * n * (2 * d + SOFTMAX)  # tanh(W s + U h) and the softmax of its products with v
        return {
            "embedding": (n + m) * dropped,
            "encoder": 2 * n * STEP["gru"] * d + d,
            "attention": compared,
            "decoder": m * STEP["gru"] * d,
            "readout": m * (2 * d + dropped),
            "head": LOSS * m * vocab_size,
        }
    block = StackSettings(
        layers=settings.layers,
        heads=settings.heads,
        d_model=d,
        d_ff=settings.feed_forward_width,
        context_length=settings.context_length,
        norm="layer",
        norm_position="post",
        feed_forward="relu",
        bias=True,
        position="sinusoidal",
        dropout=settings.dropout,
    )
    biases, scores = 2 * d * (n + m), SCORE * settings.heads * n * m
    across = biases + scores + m * (norm("layer", d) + d + dropped)
    encoder, decoder = stack(block, n), stack(block, m)
    return {
        "embedding": encoder.pop("embedding") + decoder.pop("embedding") + (n + m) * d,  # their scale
        "encoder": sum(encoder.values()),
        "decoder": sum(decoder.values()),
        "cross_attention": settings.layers * across,
        "head": LOSS * m * vocab_size,
    }


def _vectors(settings: VectorSettings) -> Parts:
    """For each prediction that counts: log-sigmoid, sign and sum of the candidates, and their sum; the mean of CBOW's context."""
    scores = predictions(settings) * (3 * (1 + settings.negatives) + 1)
    mean = (2 * 2 * settings.window + 1) * settings.d_model if isinstance(settings, CbowSettings) else 0
    return {"embedding": mean / counted(settings), "head": scores / counted(settings)}
