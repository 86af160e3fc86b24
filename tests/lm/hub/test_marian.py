"""Translators as transformers loads them."""

from pathlib import Path

import pytest
import torch

from stages.lm.bpe.documents import Documents
from stages.lm.errors import UserError
from stages.lm.hub.folder import layout_for, write_generation, write_model
from stages.lm.hub.settings import ExportSettings
from stages.lm.hub.tokenizer import write_tokenizer
from stages.lm.inference.search import translate
from stages.lm.inference.settings import SearchSettings
from stages.lm.models import registry
from stages.lm.models.seq2seq.settings import TransformerSeq2SeqSettings
from stages.lm.models.seq2seq.transformer import TransformerSeq2Seq
from stages.lm.settings import parse
from stages.lm.tokenizers.files import write_tokenizer as write_ours
from stages.lm.tokenizers.settings import TokenizerSettings
from stages.lm.tokenizers.training import train
from tests.lm.hub.folders import VOCAB, randomised

SETTINGS = TransformerSeq2SeqSettings(family="transformer-seq2seq", layers=2, heads=2, d_model=12, d_ff=20, context_length=16)


@torch.no_grad()
def test_logits_and_translations_are_ours(tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    model = randomised(registry.build(SETTINGS, VOCAB, 0))
    assert isinstance(model, TransformerSeq2Seq)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    description = registry.ModelDescription(
        family=SETTINGS.family, settings=SETTINGS, vocab_size=VOCAB, end_of_text=0, tokenizer="that one", tokens="those"
    )
    registry.save(model, description, ours)
    write_model(theirs, ours, description, layout_for(SETTINGS, "auto"))
    write_generation(theirs, ExportSettings(), description)
    AutoModelForSeq2SeqLM.from_pretrained(theirs).save_pretrained(tmp_path / "again")
    other = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "again").eval()
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randint(1, VOCAB, (3, length), generator=generator) for length in (7, 9))
    lengths = torch.tensor([7, 4, 5])
    seen = (torch.arange(7) < lengths[:, None]).long()
    found = translate(model, source, lengths, 0, SearchSettings(beam_size=1, extra_tokens=4))
    for use_cache in (True, False):
        texts = other.generate(source, attention_mask=seen, max_length=8, use_cache=use_cache)
        for row, translation in zip(texts.tolist(), found, strict=True):
            assert row[1 : len(translation.tokens[:7]) + 1] == translation.tokens[:7]
    for number, atol in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        model, other = model.to(number), other.to(number)
        logits = other(input_ids=source, attention_mask=seen, decoder_input_ids=target).logits
        torch.testing.assert_close(logits, model(source, lengths, target), rtol=0, atol=atol)


def test_only_decoders_have_code_of_their_own() -> None:
    with pytest.raises(UserError, match="only decoders have the layout custom, not the family transformer-seq2seq; say `layout"):
        layout_for(SETTINGS, "custom")


def test_sentences_end_as_in_training(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = train(parse(TokenizerSettings, {"kind": "byte"}, "tokenizer"), [Documents.of_bytes(b"a")]).tokenizer
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    write_ours(tmp_path / "ours", tokenizer)
    write_tokenizer(tmp_path / "theirs", tmp_path / "ours", 64, "translation")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert theirs("Ein Hund")["input_ids"] == [*tokenizer.encode("Ein Hund"), tokenizer.end_of_text]
