"""Parameters and FLOPs against built models, torch's own counter, and the published figures of the GPT-2 family."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.table import duration
from stages.lm.accounting.transformer import cache_bytes, forward_flops
from stages.lm.models.settings import NgramSettings, TransformerSettings
from stages.lm.models.transformer import TransformerLM
from tests.lm.models.variants import VARIANTS, settings

GPT2 = {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "xl": (48, 1600, 25)}
GPT2_VOCAB = 50_257


def gpt2(name: str, feed_forward: str = "swiglu", context_length: int = 1024) -> TransformerSettings:
    layers, d_model, heads = GPT2[name]
    return TransformerSettings.model_validate(
        {
            "family": "transformer",
            "layers": layers,
            "heads": heads,
            "d_model": d_model,
            "d_ff": 4 * d_model,
            "context_length": context_length,
            "feed_forward": feed_forward,
        }
    )


@pytest.mark.parametrize(
    ("name", "gated", "plain"),
    [
        ("small", 190_460_160, 162_148_608),
        ("medium", 505_629_696, 404_966_400),
        ("large", 1_072_469_760, 836_540_160),
        ("xl", 2_127_057_600, 1_635_537_600),
    ],
)
def test_parameters_of_the_gpt2_family(name: str, gated: int, plain: int) -> None:
    assert parameters(gpt2(name), GPT2_VOCAB, 0)["total"] == gated
    assert parameters(gpt2(name, "silu"), GPT2_VOCAB, 0)["total"] == plain


@pytest.mark.parametrize(
    ("name", "gated", "plain", "shares"),
    [
        ("small", 3.496e11, 2.917e11, (16.6, 11.1, 49.8, 22.6)),
        ("medium", 1.0331e12, 8.270e11, (20.0, 10.0, 59.9, 10.2)),
        ("large", 2.2578e12, 1.7746e12, (21.4, 8.6, 64.2, 5.8)),
        ("xl", 4.5133e12, 3.5067e12, (22.3, 7.1, 66.9, 3.7)),
    ],
)
def test_forward_flops_of_the_gpt2_family(name: str, gated: float, plain: float, shares: tuple[float, ...]) -> None:
    flops = forward_flops_per_token(gpt2(name), GPT2_VOCAB)
    total = flops.pop("total")
    assert 1024 * total == pytest.approx(gated, rel=2e-4)
    assert [100 * part / total for part in flops.values()] == pytest.approx(shares, abs=0.06)
    assert 1024 * forward_flops_per_token(gpt2(name, "silu"), GPT2_VOCAB)["total"] == pytest.approx(plain, rel=2e-4)


def test_forward_flops_of_a_long_context() -> None:
    flops = forward_flops_per_token(gpt2("xl", context_length=16_384), GPT2_VOCAB)
    assert 16_384 * flops["total"] == pytest.approx(1.4952e14, rel=1e-4)
    assert flops["attention_scores"] / flops["total"] == pytest.approx(0.552, abs=5e-4)


def test_days_of_the_handouts_run() -> None:
    """400K steps of 1024 sequences at half of an A100's 19.5 TFLOP/s."""
    total = training_flops(forward_flops_per_token(gpt2("xl"), GPT2_VOCAB), 400_000 * 1024 * 1024)
    assert total == pytest.approx(5.55e21, rel=1e-3)
    assert total / (0.5 * 19.5e12) / 86_400 == pytest.approx(6584, abs=1)


EACH = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())


@EACH
def test_parameters_are_those_of_the_built_model(changes: dict[str, object]) -> None:
    model = TransformerLM.from_settings(settings(**changes), 29)
    counted = parameters(settings(**changes), 29, 0)
    assert counted["total"] == model.num_parameters()
    assert counted["attention"] == sum(p.numel() for name, p in model.named_parameters() if ".attn." in name)
    assert counted["feed_forward"] == sum(p.numel() for name, p in model.named_parameters() if ".ffn." in name)


@pytest.mark.parametrize("length", [24, 1, 150], ids=["context", "one", "long"])
@EACH
def test_flops_are_those_that_torch_counts(changes: dict[str, object], length: int) -> None:
    described = settings(**changes, context_length=length)
    model = TransformerLM.from_settings(described, 29)
    ids = torch.zeros(2, length + 1, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        model(ids[:, :-1])
    with FlopCounterMode(display=False) as training:
        model.total_loss(ids).backward()
    expected = sum(forward_flops(described, 29, length).values())
    assert forward.get_total_flops() == 2 * expected
    assert training.get_total_flops() == 2 * 3 * expected


def test_flops_of_the_definitions_are_those_of_whole_sequences() -> None:
    for changes in ({"attention": "sliding", "window": 4}, {"attention": "linear", "position": "none"}):
        described = settings(**changes, kernel="reference")
        with FlopCounterMode(display=False) as counter:
            TransformerLM.from_settings(described, 29)(torch.zeros(1, 24, dtype=torch.long))
        found, whole = (sum(forward_flops(one, 29, 24).values()) for one in (described, settings()))
        assert counter.get_total_flops() == found == whole


@EACH
def test_cache_bytes_are_those_of_the_built_caches(changes: dict[str, object]) -> None:
    described = settings(**changes)
    state = TransformerLM.from_settings(described, 29).start(5)
    tensors = [tensor for cache in state.caches for tensor in vars(cache.own).values() if isinstance(tensor, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in tensors) == cache_bytes(described, 5, 1000)


def test_cache_bytes_of_known_models() -> None:
    """Llama 2 70B shares its heads; Mistral 7B's window of 4096 bounds what it keeps (Jiang et al. 2023, section 2)."""
    shape = {"layers": 80, "heads": 64, "d_model": 8192, "context_length": 4096}
    assert cache_bytes(settings(**shape, kv_heads=8), 1, 4096, 2) == 4096 * 8 * 128 * 80 * 2 * 2
    shape = {"layers": 32, "heads": 32, "d_model": 4096, "context_length": 32_768, "kv_heads": 8}
    assert cache_bytes(settings(**shape), 1, 32_768, 2) == 8 * cache_bytes(
        settings(**shape, attention="sliding", window=4096), 1, 32_768, 2
    )


def test_an_ngram_model_has_at_most_as_many_parameters_as_tokens() -> None:
    counted = parameters(NgramSettings(family="ngram", order=3), 100, tokens=50_000)
    assert counted == {"1-grams": 100, "2-grams": 10_000, "3-grams": 50_000, "total": 60_100}


def test_durations_as_a_person_says_them() -> None:
    assert [duration(s) for s in (12.3, 200, 18_720, 293_760)] == ["12 s", "3 min 20 s", "5 h 12 min", "3.4 days"]
