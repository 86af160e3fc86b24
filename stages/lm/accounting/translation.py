"""What a translator costs: parameters and operations by component, for a source of n tokens and a target of m.

A product of (a, b) and (b, c) takes 2 a b c operations; biases, norms and activations are not counted.
"""

from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TranslatorSettings


def parameters(settings: TranslatorSettings, vocab_size: int) -> dict[str, int]:
    """Parameters by component, exact."""
    d = settings.d_model
    if isinstance(settings, RnnSeq2SeqSettings):
        return {
            "embedding": vocab_size * d,
            "encoder": 2 * (6 * d * d + 3 * d) + d * d,  # a GRU each way, and the decoder's first state
            "attention": 3 * d * d + d,
            "decoder": 12 * d * d + 3 * d,
            "readout": 8 * d * d,
            "head": vocab_size * d,
        }
    layers, d_ff = settings.layers, settings.feed_forward_width
    attention, feed_forward, norm = 4 * d * d + 4 * d, 2 * d * d_ff + d_ff + d, 2 * d
    return {
        "embedding": vocab_size * d,  # the output layer too
        "encoder": layers * (attention + feed_forward + 2 * norm),
        "decoder": layers * (attention + feed_forward + 3 * norm),
        "cross_attention": layers * attention,
    }


def forward_flops(settings: TranslatorSettings, vocab_size: int, source: float, target: float) -> dict[str, float]:
    """Operations of a forward pass over a pair of so many tokens (the target's predictions), by component."""
    n, m, d = source, target, settings.d_model
    if isinstance(settings, RnnSeq2SeqSettings):
        return {
            "encoder": 24 * n * d * d + 2 * d * d,
            "attention": 4 * n * d * d + m * (2 * d * d + 6 * n * d),
            "decoder": 24 * m * d * d,
            "readout": 16 * m * d * d,
            "head": 2 * m * d * vocab_size,
        }
    layers, d_ff = settings.layers, settings.feed_forward_width
    return {
        "encoder": layers * n * (8 * d * d + 4 * n * d + 4 * d * d_ff),
        "decoder": layers * m * (8 * d * d + 4 * m * d + 4 * d * d_ff),
        "cross_attention": layers * (4 * m * d * d + 4 * n * d * d + 4 * m * n * d),
        "head": 2 * m * d * vocab_size,
    }


def forward_flops_per_token(settings: TranslatorSettings, vocab_size: int, source: float, target: float) -> dict[str, int]:
    """The same for each token of the target."""
    flops = forward_flops(settings, vocab_size, source, target)
    return {name: round(value / target) for name, value in flops.items()}
