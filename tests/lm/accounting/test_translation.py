"""Parameters and operations of the translators against built models and torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.lm.accounting.translation import forward_flops, parameters
from stages.lm.models.kernels import REFERENCE
from stages.lm.models.seq2seq.interface import Seq2Seq
from stages.lm.models.seq2seq.recurrent import RnnSeq2Seq
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings, TranslatorSettings
from stages.lm.models.seq2seq.transformer import TransformerSeq2Seq

VOCAB = 31
TRANSFORMER = TransformerSeq2SeqSettings(family="transformer-seq2seq", layers=3, heads=2, d_model=16, d_ff=40)
RNN = RnnSeq2SeqSettings(family="rnn-seq2seq", d_model=12)
MODELS: list[tuple[TranslatorSettings, Seq2Seq]] = [
    (TRANSFORMER, TransformerSeq2Seq(TRANSFORMER, VOCAB, REFERENCE)),
    (RNN, RnnSeq2Seq(RNN, VOCAB, is_fused=False)),
]


@pytest.mark.parametrize(("settings", "model"), MODELS, ids=["transformer", "rnn"])
def test_parameters(settings: TranslatorSettings, model: Seq2Seq) -> None:
    assert sum(parameters(settings, VOCAB).values()) == model.num_parameters()


@pytest.mark.parametrize(("settings", "model"), MODELS, ids=["transformer", "rnn"])
def test_operations(settings: TranslatorSettings, model: Seq2Seq) -> None:
    source, target = torch.randint(VOCAB, (5, 9)), torch.randint(VOCAB, (5, 7))
    with FlopCounterMode(display=False) as counter:
        model(source, torch.full((5,), 9), target)
    assert counter.get_total_flops() == 5 * sum(forward_flops(settings, VOCAB, 9, 7).values())


def test_the_papers_base_model() -> None:
    """Table 3 of Vaswani et al. 2017 gives 65 million parameters, with 37,000 tokens."""
    base = TransformerSeq2SeqSettings(family="transformer-seq2seq", layers=6, heads=8, d_model=512, d_ff=2048)
    assert sum(parameters(base, 37_000).values()) == pytest.approx(65e6, rel=0.03)
