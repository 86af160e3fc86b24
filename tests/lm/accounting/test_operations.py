"""What a rehearsal says of operations is what the real step does."""

from collections import Counter
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.batches import random_batch
from stages.lm.accounting.clocked import Clock
from stages.lm.accounting.operations import Operation, Operations, of_step
from stages.lm.accounting.rehearsal import Watching
from stages.lm.accounting.texts import of_texts, write
from stages.lm.inference.settings import DecodingSettings
from stages.lm.models import registry
from stages.lm.models.recurrent.settings import GruSettings, LstmSettings
from stages.lm.models.settings import TransformerSettings
from stages.lm.training.learner import Learner
from stages.lm.training.settings import TrainingSettings

CPU, VOCAB = torch.device("cpu"), 29
GPT = TransformerSettings(family="transformer", layers=2, heads=2, d_model=16, context_length=24)
LSTM = LstmSettings(family="lstm", layers=2, d_model=16, context_length=8)
GRU = GruSettings(family="gru", layers=1, d_model=16, context_length=8)


def seen(work: Any) -> Counter[Operation]:
    """The operations of real work."""
    with Clock(CPU) as clock:
        work()
    return Counter(call.operation for call in clock.calls)


def rehearsed(work: Any) -> Counter[Operation]:
    with Operations() as watch:
        work()
    return watch.counts


def without_workspace(counts: Counter[Operation]) -> Counter[Operation]:
    """Without the memory that a recurrent kernel works in, of which a rehearsal knows nothing, and what copies no tensor."""
    found: Counter[Operation] = Counter()
    for operation, count in counts.items():
        if not operation.kind.startswith(("aten::_local_scalar", "aten::lift_fresh")):
            found[operation._replace(bytes=0) if "mkldnn_rnn" in operation.kind else operation] += count
    return found


def only(counts: Counter[Operation], name: str) -> Operation:
    (found,) = [operation for operation in counts if operation.kind.startswith(f"aten::{name}")]
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("model", [GPT, LSTM, GRU], ids=lambda model: model.family)
def test_a_rehearsed_step_has_the_operations_of_a_real_one(model: Any, optimizer: Any, precision: Any) -> None:
    training = TrainingSettings(batch_size=4, device="cpu", optimizer=optimizer, precision=precision, clip_norm=1e9)
    batch = random_batch(model, training, VOCAB)
    learner = Learner(cast(nn.Module, registry.build(model, VOCAB, 0)), training, CPU)
    learner.step(batch, 1e-3)
    real = seen(lambda: learner.step(batch, 1e-3))
    found = of_step(model, training, VOCAB, batch)
    assert without_workspace(found) == without_workspace(real)
    with FlopCounterMode(display=False) as counter:
        learner.step(batch, 1e-3)
    counted = sum(count * one.flops for one, count in found.items() if "mkldnn_rnn" not in one.kind)  # which torch does not count
    assert counted == counter.get_total_flops()


def test_three_micro_batches_are_what_two_tell_of_them() -> None:
    training = TrainingSettings(batch_size=6, micro_batch_size=2, device="cpu", clip_norm=1e9)
    batch = random_batch(GPT, training, VOCAB)
    learner = Learner(cast(nn.Module, registry.build(GPT, VOCAB, 0)), training, CPU)
    learner.step(batch, 1e-3)
    assert without_workspace(of_step(GPT, training, VOCAB, batch)) == without_workspace(seen(lambda: learner.step(batch, 1e-3)))


@pytest.mark.parametrize("model", [GPT, LSTM, GRU], ids=lambda model: model.family)
def test_a_rehearsed_token_has_the_operations_of_a_real_one(model: Any) -> None:
    built: Any = registry.build(model, VOCAB, 0)
    settings = DecodingSettings()
    one, two = (seen(lambda n=n: write(built.eval(), 3, 9, n, settings, seen=True)) for n in (1, 2))
    token = of_texts(model, VOCAB, 3, 8, 2, settings).token  # in the middle of two tokens after eight: the ninth
    assert without_workspace(two - one) == without_workspace(token)


def test_products_inside_a_recurrent_layer() -> None:
    """d = 16, batch 4, 8 positions: inputs at once (32, 16)(16, 64), states one after the other 8 x (4, 16)(16, 64)."""
    training = TrainingSettings(batch_size=4, device="cpu")
    found = of_step(LSTM, training, VOCAB, random_batch(LSTM, training, VOCAB))
    assert only(found, "mkldnn_rnn_layer float32").flops == 2 * (2 * 32 * 16 * 64)
    assert only(found, "mkldnn_rnn_layer_backward").flops == 2 * 2 * (2 * 32 * 16 * 64)


def test_products_inside_fused_attention_are_those_that_torch_counts_on_a_gpu() -> None:
    query = torch.randn(2, 3, 64, 8, requires_grad=True)
    with Clock(CPU) as clock:
        nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True).sum().backward()
    found = Counter(call.operation for call in clock.calls)
    forward, backward = (only(found, f"_scaled_dot_product_flash_attention_for_cpu{end}") for end in (" ", "_backward"))
    assert forward.flops == 2 * (2 * 2 * 3 * 64 * 64 * 8)  # scores, weighted sum
    assert backward.flops == 5 * (2 * 2 * 3 * 64 * 64 * 8)  # scores again, and four gradients


def test_bytes_are_those_read_and_written() -> None:
    a, b, table = torch.zeros(10, 3), torch.zeros(10, 3), torch.zeros(1000, 8)
    assert only(rehearsed(lambda: a + b), "add").bytes == 3 * 120
    assert only(rehearsed(lambda: a.mul_(2)), "mul_").bytes == 2 * 120
    assert only(rehearsed(lambda: a.copy_(b)), "copy_").bytes == 2 * 120
    assert only(rehearsed(lambda: a + b[:1]), "add").bytes == 120 + 12 + 120
    assert only(rehearsed(lambda: a.bfloat16()), "_to_copy").bytes == 120 + 60
    assert only(rehearsed(lambda: a @ b.T), "mm").bytes == 120 + 120 + 400
    picked = only(rehearsed(lambda: nn.functional.embedding(torch.tensor([5, 6, 7]), table)), "embedding")
    assert picked.bytes < 4 * 3 * 8 * 4  # not the whole table of 32 kB


def test_views_cost_nothing() -> None:
    a = torch.zeros(10, 4)
    found = rehearsed(lambda: a.view(20, 2).T[1:].unsqueeze(0).expand(3, -1, -1).detach())
    assert found
    assert all(operation.bytes == operation.flops == 0 for operation in found)


def test_how_matrices_lie_in_memory() -> None:
    a, b = torch.zeros(10, 4), torch.zeros(10, 4)
    layouts = {(x.shape, y.shape): only(rehearsed(lambda x=x, y=y: x @ y), "mm").products[0] for x, y in ((a, b.T), (a.T, b))}
    assert [(product.layout, *product[2:]) for product in layouts.values()] == [("nt", 1, 10, 4, 10, 1), ("tn", 1, 4, 10, 4, 1)]


def test_watching_leaves_real_numbers_alone() -> None:
    with Watching():  # type: ignore[no-untyped-call]
        assert torch.equal(torch.ones(3) * 2, torch.full((3,), 2.0))
