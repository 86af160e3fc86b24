"""Known models have, as settings of our transformer, the parameters that their published weights have."""

import pytest

from stages.lm.accounting.known_models import KNOWN_MODELS, table

PUBLISHED = {
    "GPT": 116_534_784,
    "GPT-2 small": 124_439_808,
    "GPT-2 XL": 1_557_611_200,
    "LLaMA 7B": 6_738_415_616,
    "LLaMA 65B": 65_285_660_672,
    "Llama 2 70B": 68_976_648_192,
    "Llama 3 8B": 8_030_261_248,
    "Llama 3 70B": 70_553_706_496,
    "Llama 3 405B": 405_853_388_800,
    "Mistral 7B": 7_241_732_096,
    "Gemma 2B": 2_506_172_416,
    "Gemma 7B": 8_537_680_896,
    "Qwen3 0.6B": 596_049_920,
    "Qwen3 32B": 32_762_123_264,
}


def test_parameters_are_those_of_the_published_weights() -> None:
    assert {name: model.parameters for name, model in KNOWN_MODELS.items() if name in PUBLISHED} == PUBLISHED
    assert KNOWN_MODELS["GPT-3 175B"].parameters == pytest.approx(175e9, rel=3e-3)  # as the paper says, to the billion


def test_ratios_by_hand() -> None:
    assert KNOWN_MODELS["Gemma 7B"].ratios() == {"ff_ratio": 8, "head_ratio": pytest.approx(4 / 3), "aspect": 3072 / 28}
    assert KNOWN_MODELS["LLaMA 7B"].ratios() == {"ff_ratio": 2.6875, "head_ratio": 1, "aspect": 128}


def test_the_table_has_a_line_for_each() -> None:
    lines = table().splitlines()
    assert len(lines) == 1 + len(KNOWN_MODELS)
    assert lines[-1].split()[-1] == str(64 * 8 * 128 * 2 * 2)
