"""What is counted outside the matrix products, against the operations that the definitions really call."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stages.lm.accounting.elementwise import LOSS, elementwise_flops_per_token, stack, translator
from stages.lm.accounting.flops import forward_flops_per_token
from stages.lm.accounting.known_models import KNOWN_MODELS
from stages.lm.models.attention.linear import attention as linear_attention
from stages.lm.models.bert.model import IGNORED, BertLM
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.kernels import REFERENCE
from stages.lm.models.recurrent.gru import GRU
from stages.lm.models.recurrent.layer import RecurrentLayer
from stages.lm.models.recurrent.lstm import LSTM
from stages.lm.models.recurrent.rnn import RNN
from stages.lm.models.recurrent.settings import RnnSettings
from stages.lm.models.seq2seq.recurrent import RnnSeq2Seq
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings
from stages.lm.models.seq2seq.transformer import TransformerSeq2Seq
from stages.lm.models.settings import ModelSettings, NgramSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.models.vectors.model import Cbow, SkipGram
from stages.lm.models.vectors.settings import CbowSettings, SkipGramSettings
from tests.lm.models.variants import VARIANTS, settings

VOCAB = 29
CHUNKED = replace(REFERENCE, linear_attention=linear_attention)
EACH_NUMBER = {
    "add", "sub", "rsub", "mul", "div", "exp", "erf", "sigmoid", "tanh", "rsqrt", "pow", "gt", "elu", "neg", "log_sigmoid_forward"
}  # fmt: skip
ALL_NUMBERS = {"sum", "mean", "amax"}
SOFTMAX = {"_softmax"}


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what operations on floating-point tensors count by the rule."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_") if func.namespace == "aten" else ""
        if isinstance(args[0] if args else None, Tensor) and args[0].is_floating_point():
            given = result[0] if isinstance(result, tuple) else result
            self.operations += (name in EACH_NUMBER) * (given.numel() if isinstance(given, Tensor) else 0)
            self.operations += (name in ALL_NUMBERS) * args[0].numel()
            self.operations += (func.overloadpacket.__name__ in SOFTMAX) * 5 * args[0].numel()
        return result


def counted(model: Any, *given: Any) -> int:
    with torch.no_grad(), Counter() as counter:
        model(*given)
    return int(counter.operations)


def definition(changes: dict[str, object]) -> tuple[TransformerLM, Any]:
    described = settings(**changes, kernel="reference")
    shape = (described.d_model, described.layers, described.heads, described.feed_forward_width)
    return TransformerLM(
        VOCAB, 24, *shape, 1e4, described.position, described, described.tie_embeddings, REFERENCE
    ), described  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_transformer_of_the_definitions(changes: dict[str, object]) -> None:
    model, described = definition(changes)
    ids = torch.zeros(1, 24, dtype=torch.long)
    promised = elementwise_flops_per_token(described, VOCAB, 24)
    loss = 24 * promised["head"]
    assert loss == 24 * LOSS * VOCAB
    assert counted(model, ids) == pytest.approx(24 * promised["total"] - loss, abs=12 * len(promised))  # rounded by component


@pytest.mark.parametrize("changes", [{"attention": "linear"}, {"attention": "linear", "heads": 4, "kv_heads": 2}], ids=str)
def test_linear_attention_in_chunks(changes: dict[str, object]) -> None:
    described = settings(**changes, context_length=150, norm_position="none")
    parts = stack(described, 150)
    model = TransformerLM(VOCAB, 150, 16, 3, described.heads, described.feed_forward_width, options=described, kernels=CHUNKED)
    assert counted(model, torch.zeros(1, 150, dtype=torch.long)) == sum(parts.values())


@pytest.mark.parametrize("cls", [RNN, LSTM, GRU])
def test_a_recurrent_layer(cls: type[RecurrentLayer]) -> None:
    layer = cls(16)
    family = cls.__name__.lower()
    described: Any = TypeAdapter(ModelSettings).validate_python(
        {"family": family, "layers": 1, "d_model": 16, "context_length": 10}
    )
    promised = elementwise_flops_per_token(described, VOCAB)
    found = counted(layer, torch.zeros(1, 10, 16), [torch.zeros(1, 16)] * layer.memories)
    assert found == 10 * promised["recurrence"]


@pytest.mark.parametrize(
    "changes", [{}, {"norm": "rms", "norm_position": "pre", "feed_forward": "geglu", "bias": False}], ids=str
)
def test_bert(changes: dict[str, Any]) -> None:
    described = BertSettings.model_validate(
        {"family": "bert", "layers": 2, "heads": 2, "d_model": 16, "context_length": 24, "mask_share": 0.25, "dropout": 0}
        | changes
    )
    model = BertLM(described, VOCAB, REFERENCE)
    ids, targets = torch.zeros(1, 24, dtype=torch.long), torch.full((1, 24), IGNORED)
    targets[0, :6] = 1
    promised = elementwise_flops_per_token(described, VOCAB)
    found = counted(lambda: model.logits(model(ids)[:, :6]))
    assert found == pytest.approx(24 * promised["total"] - 6 * LOSS * VOCAB, abs=12 * len(promised))


def test_translators() -> None:
    source, target, lengths = torch.zeros(1, 9, dtype=torch.long), torch.zeros(1, 7, dtype=torch.long), torch.tensor([9])
    attended = TransformerSeq2SeqSettings(family="transformer-seq2seq", layers=3, heads=2, d_model=16, dropout=0)
    recurrent = RnnSeq2SeqSettings(family="rnn-seq2seq", d_model=12, dropout=0)
    for model, described in (
        (TransformerSeq2Seq(attended, VOCAB, REFERENCE), attended),
        (RnnSeq2Seq(recurrent, VOCAB, is_fused=False), recurrent),
    ):
        promised = translator(described, VOCAB, 9, 7)
        assert counted(model, source, lengths, target) == pytest.approx(sum(promised.values()) - promised["head"], rel=0.01)


def test_word_vectors() -> None:
    centres, contexts = torch.zeros(8, dtype=torch.long), torch.zeros(8, 4, dtype=torch.long)
    for model, described, predictions, tokens in (
        (SkipGram, SkipGramSettings(family="skipgram", d_model=16, window=2, negatives=3), 4, 3 * 8),
        (Cbow, CbowSettings(family="cbow", d_model=16, window=2, negatives=3), 1, 8),
    ):
        noise = torch.zeros(8, predictions, 3, dtype=torch.long)
        found = counted(model(described, VOCAB).total_loss, centres, contexts, noise)
        assert found == pytest.approx(tokens * elementwise_flops_per_token(described, VOCAB)["total"], rel=0.05)


def test_counting_has_none() -> None:
    assert elementwise_flops_per_token(NgramSettings(family="ngram"), VOCAB) == {"total": 0}


def test_they_are_few_beside_the_products_in_a_wide_model() -> None:
    """The reason why nobody counts them: in a wide model they are about a hundredth."""
    model = KNOWN_MODELS["LLaMA 7B"]
    products = forward_flops_per_token(model.settings, model.vocab_size)["total"]
    assert elementwise_flops_per_token(model.settings, model.vocab_size)["total"] / products < 0.01
    small = RnnSettings(family="rnn", layers=1, d_model=8, context_length=4)
    assert elementwise_flops_per_token(small, 10)["recurrence"] == 3 * 8
