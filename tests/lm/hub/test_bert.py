"""BERT as transformers loads it."""

from pathlib import Path

import pytest
import torch

from stages.lm.bpe.documents import Documents
from stages.lm.errors import UserError
from stages.lm.hub.folder import layout_for, write_model
from stages.lm.hub.tokenizer import write_tokenizer
from stages.lm.inference.filling import blanked
from stages.lm.models import registry
from stages.lm.models.bert.model import BertLM, mask_id
from stages.lm.settings import parse
from stages.lm.tokenizers.files import write_tokenizer as write_ours
from stages.lm.tokenizers.settings import TokenizerSettings
from stages.lm.tokenizers.training import train
from tests.lm.hub.folders import VOCAB, randomised
from tests.lm.models.test_bert import settings


@torch.no_grad()
def test_logits_are_ours(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    described = settings()
    model = randomised(registry.build(described, VOCAB, 0))
    assert isinstance(model, BertLM)
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    description = registry.ModelDescription(
        family="bert", settings=described, vocab_size=VOCAB, end_of_text=0, tokenizer="that one", tokens="those"
    )
    registry.save(model, description, tmp_path / "ours")
    write_model(tmp_path / "theirs", tmp_path / "ours", description, layout_for(described, "auto"))
    other = AutoModelForMaskedLM.from_pretrained(tmp_path / "theirs").eval()
    assert type(other).__name__ == "BertForMaskedLM"
    batch = torch.randint(VOCAB, (3, 10), generator=torch.Generator().manual_seed(0))
    batch[:, 4] = mask_id(VOCAB)
    for number, atol in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        model, other = model.to(number), other.to(number)
        logits = other(batch).logits
        torch.testing.assert_close(logits[..., :VOCAB], model.logits(model(batch)), rtol=0, atol=atol)
        assert torch.equal(logits.softmax(-1)[..., VOCAB], torch.zeros(3, 10, dtype=number))


@pytest.mark.parametrize(
    "changes", [{"norm": "rms"}, {"position": "rope"}, {"kv_heads": 1}, {"attention": "sliding", "window": 3}]
)
def test_other_modules_have_no_form_in_transformers(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no model of transformers computes what this one of the family bert does"):
        layout_for(settings(**changes), "auto")


@pytest.mark.parametrize("kind", [{"vocab_size": 300}, {"kind": "character"}])
def test_blanks_are_ours(kind: dict[str, object], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    prompt = "Once upon a [MASK], there was[MASK]"
    text = "Once upon a time, there was a time, there was Once"
    ours = train(parse(TokenizerSettings, kind, "tokenizer"), [Documents.of_bytes(text.encode())]).tokenizer
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    write_ours(tmp_path / "ours", ours)
    write_tokenizer(tmp_path / "theirs", tmp_path / "ours", 64, "masked")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert theirs.mask_token_id == mask_id(ours.vocab_size)
    expected = [ours.end_of_text, *blanked(ours, prompt, mask_id(ours.vocab_size)), ours.end_of_text]
    assert theirs(prompt)["input_ids"] == expected
