"""A config is merged, checked and refused by rules that a reader can foresee."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.accounting.parameters import parameters
from stages.lm.errors import UserError
from tests.workflow.configs import BASE, changed
from workflow.config import schema
from workflow.reading import load, merge, read
from workflow.reference import reference


def test_extends_changes_one_line() -> None:
    config = read(changed("experiments.nope", {"extends": "gpt", "model": {"position": "none"}}))
    gpt, nope = config.experiments["gpt"], config.experiments["nope"]
    assert nope.model.position == "none"
    assert nope.extends == "gpt"
    assert nope.model_copy(update={"model": gpt.model, "extends": None}) == gpt
    assert gpt.training.learning_rate == 3e-4


def test_extends_over_another_family_starts_its_model_anew() -> None:
    config = read(changed("experiments.trigram", {"extends": "gpt", "model": {"family": "ngram", "order": 3}, "export": None}))
    assert config.experiments["trigram"].model.resolved() == {"family": "ngram", "order": 3, "smoothing": "kneser-ney"}


def test_extends_works_over_several_steps() -> None:
    data = changed("experiments.a", {"extends": "gpt", "training": {"steps": 7}})
    data["experiments"]["b"] = {"extends": "a", "training": {"batch_size": 3}}
    training = read(data).experiments["b"].training
    assert (training.steps, training.batch_size, training.learning_rate) == (7, 3, 3e-4)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("corpra", {}, "corpra: unknown key 'corpra'; did you mean 'corpora'?"),
        ("experiments.gpt.model.layrs", 3, "experiments.gpt.model.layrs: unknown key 'layrs'; did you mean 'layers'? allowed: "),
        ("experiments.gpt.model.layers", "four", "experiments.gpt.model.layers: input should be a valid integer, not 'four'"),
        (
            "experiments.gpt.model.family",
            "gtp",
            "gpt.model.family: unknown family 'gtp'; allowed: bert, cbow, gru, huggingface, lstm, ngram, rnn, rnn-seq2seq, ",
        ),
        ("experiments.gpt.tokenizer", "bep", "experiments.gpt.tokenizer: unknown tokenizer 'bep'; did you mean 'bpe'?"),
        (
            "studies.s",
            {"kind": "tokenizers", "tokenizers": ["bep"]},
            "studies.s.tokenizers: unknown tokenizer 'bep'; did you",
        ),
        ("studies.s", {"kind": "tokenizers", "corpora": ["x"]}, "studies.s.corpora: unknown corpus 'x'; allowed: toy"),
        ("studies.lengths.experiments", ["gtp"], "studies.lengths.experiments: unknown experiment 'gtp'; did you mean 'gpt'?"),
        (
            "studies.lengths.kind",
            "length",
            "studies.lengths.kind: unknown kind 'length'; allowed: accounting, complexity, gradients",
        ),
        ("tokenizers.bpe.kind", "words", "tokenizers.bpe.kind: unknown kind 'words'; did you mean 'word'?"),
        ("experiments.gpt.corpus", "tory", "experiments.gpt.corpus: unknown corpus 'tory'; did you mean 'toy'?"),
        ("tokenizers.bpe.corpus", "x", "tokenizers.bpe.corpus: unknown corpus 'x'; allowed: toy"),
        ("tokenizers.bpe.vocab_size", 256, "tokenizers.bpe"),
        ("corpora.toy.source", "gramar", "corpora.toy.source: unknown source 'gramar'; did you mean 'grammar'?"),
        (
            "experiments.b",
            {"extends": "gpt", "model": {"family": "ngram"}},
            "experiments.b.export: no model of transformers computes what this one of the family ngram does; leave",
        ),
        (
            "tokenizers.bpe",
            {"kind": "character", "alphabet": "unicode", "corpus": "toy"},
            "experiments.gpt.export: transformers has no tokenizer of code points (alphabet: unicode); train with another one",
        ),
        (
            "experiments.b",
            {"extends": "gpt", "model": {"family": "ngram"}, "export": None, "training": {"start": "models/gpt"}},
            "experiments.b: training.start: only the family transformer can start from a folder, not ngram; leave it out",
        ),
        (
            "experiments.gpt",
            {
                "tokenizer": "bpe",
                "model": {"family": "bert", "layers": 1, "heads": 2, "d_model": 16, "context_length": 32},
                "export": {"top_p": 0.9},
            },
            "experiments.gpt.export.top_p: means nothing to the family bert, which does not sample; leave it out",
        ),
        (
            "experiments.gpt",
            {
                "tokenizer": "bpe",
                "model": {"family": "bert", "layers": 1, "heads": 2, "d_model": 16, "context_length": 32},
                "evaluation": {"split": "valid", "tasks": {}},
            },
            "experiments.gpt.evaluation.tasks: means nothing to the family bert; leave it out",
        ),
        (
            "experiments.gpt.evaluation",
            {"tasks": {"x": {"source": "grammar", "about": "states"}}},
            "experiments.gpt.evaluation.tasks.x.about: input should be 'agreement', 'coreference' or 'state', not 'states'",
        ),
        ("experiments.b", {"extends": "gtp"}, "experiments.b.extends: unknown entry 'gtp'; did you mean 'gpt'?"),
        ("experiments.gpt.extends", "gpt", "experiments.gpt.extends: goes in a circle: gpt -> gpt"),
        ("experiments.b", {"extends": ["gpt"]}, "experiments.b.extends: should be the name of another entry"),
        ("experiments.a/b", BASE["experiments"]["gpt"], "experiments.a/b"),
    ],
)
def test_mistakes_name_the_key_and_what_is_allowed(path: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(changed(path, value))
    assert message in str(caught.value)


trees = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda below: st.dictionaries(st.sampled_from(["a", "b", "family"]), below, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from(["a", "b", "c", "family"]), trees, max_size=4)


@given(mappings, mappings)
def test_merge_keeps_every_value_of_the_child(parent: dict[str, object], child: dict[str, object]) -> None:
    def holds(merged: object, wanted: object) -> bool:
        if isinstance(wanted, dict) and isinstance(merged, dict):
            return all(key in merged and holds(merged[key], value) for key, value in wanted.items())
        return merged == wanted

    assert holds(merge(parent, child), child)


@given(mappings)
def test_merge_with_itself_or_nothing_changes_nothing(tree: dict[str, object]) -> None:
    assert merge(tree, tree) == merge(tree, {}) == merge({}, tree) == tree


@given(mappings, mappings)
def test_merge_leaves_its_arguments_alone(parent: dict[str, object], child: dict[str, object]) -> None:
    before = json.dumps([parent, child])
    merge(parent, child)
    assert json.dumps([parent, child]) == before


def test_shipped_configs_are_valid(root: Path) -> None:
    files = sorted((root / "config").glob("*.yaml"))
    assert len(files) >= 4
    for file in files:
        assert load(file).experiments


def test_the_published_schema_is_that_of_the_code_and_accepts_the_shipped_configs(root: Path) -> None:
    import jsonschema

    published = json.loads((root / "workflow/schemas/config.schema.json").read_text())
    assert published == schema(), "run: python -m workflow.config > workflow/schemas/config.schema.json"
    validator = jsonschema.Draft202012Validator(published)
    for file in sorted((root / "config").glob("*.yaml")):
        # As `load` does, read `3e-4` and `3e12` for the numbers that they mean.
        data = yaml.safe_load(
            re.sub(r"\b(\d+)e([-+]?)(\d+)\b", lambda found: f"{found[1]}.0e{found[2] or '+'}{found[3]}", file.read_text())
        )
        assert not list(validator.iter_errors(data)), file


def test_the_reference_page_is_that_of_the_code(root: Path) -> None:
    text = (root / "config/README.md").read_text(encoding="utf-8")
    assert text == reference(), "run: python -m workflow.reference > config/README.md"


def test_ablations_compare_like_with_like(root: Path) -> None:
    """What is no part of a change stays: the size of the blocks where only their kind or their shape changes."""
    config = load(root / "config/ablations.yaml")

    def inside(name: str) -> int:
        counts = parameters(config.experiments[name].model, 1024, 0)
        return int(counts["attention"] + counts["feed_forward"])

    for name in ("silu", "gelu", "relu", "geglu", "post-norm", "no-positions", "sliding-window", "strided", "linear-attention"):
        assert inside(name) == inside("gpt")
    for name in config.experiments:
        if name.startswith("shape"):
            assert inside(name) == pytest.approx(800_000, rel=0.01)
        experiment = config.experiments[name]
        assert experiment.training.batch_size * experiment.model.context_length == 4096


def test_the_courses_runs_have_the_courses_numbers(root: Path) -> None:
    """327,680,000 tokens, or 40,960,000 with few resources; vocabularies of 10,000 and 32,000."""
    for name, vocab_size in [("tinystories", 10000), ("openwebtext", 32000)]:
        config = load(root / f"config/{name}.yaml")
        gpt = config.experiments["gpt"]
        assert config.tokenizers["bpe"].vocab_size == vocab_size
        assert gpt.training.steps * gpt.training.batch_size * gpt.model.context_length == 327_680_000
        assert (gpt.model.layers, gpt.model.heads, gpt.model.d_model, gpt.model.d_ff) == (4, 16, 512, 1344)
    low = load(root / "config/tinystories.yaml").experiments["gpt-low-resource"]
    assert low.training.steps * low.training.batch_size * low.model.context_length == 40_960_000


def test_studies_name_experiments_that_share_their_tokens() -> None:
    with pytest.raises(UserError, match=r"studies\.lengths\.experiments: unknown experiment 'gtp'; did you mean 'gpt'\?"):
        read(changed("studies.lengths.experiments", ["gtp"]))
    other = changed("tokenizers.small", {"corpus": "toy", "vocab_size": 280})
    other["experiments"]["small"] = {"tokenizer": "small", "model": {"family": "ngram"}}
    other["studies"]["lengths"]["experiments"] = ["gpt", "small"]
    with pytest.raises(UserError, match=r"studies\.lengths\.experiments: gpt, small have different tokenizers or corpora"):
        read(other)


@pytest.mark.parametrize(
    ("model", "key", "value", "message"),
    [
        ({"family": "ngram"}, "decoding", {"compile": True}, "gpt.decoding.compile: only decoders with softmax attention"),
        (
            {"attention": "linear"},
            "decoding",
            {"precision": "bf16"},
            "gpt.decoding.precision: only decoders with softmax attention",
        ),
        ({}, "evaluation", {"stride": 100_000}, "gpt.evaluation.stride: is 100,000, but the model sees "),
    ],
)
def test_what_a_model_cannot_do_is_refused(model: dict[str, object], key: str, value: dict[str, object], message: str) -> None:
    data = changed(f"experiments.gpt.{key}", value)
    described = data["experiments"]["gpt"]
    described |= {"export": None, "model": model if "family" in model else described["model"] | model}
    with pytest.raises(UserError, match=re.escape(message)):
        read(data)


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        ("trigrm", "experiments.gpt.decoding.draft: unknown experiment 'trigrm'; did you mean 'trigram'?"),
        ("lstm", "experiments.gpt.decoding.draft: lstm cannot take tokens back"),
        ("gpt", "experiments.gpt.decoding.draft: gpt has a draft of its own"),
        ("other", "experiments.gpt.decoding.draft: other has another tokenizer than gpt"),
    ],
)
def test_a_draft_that_cannot_draft(draft: str, message: str) -> None:
    data = changed("experiments.gpt.decoding", {"draft": draft})
    data["tokenizers"]["bytes"] = {"kind": "byte", "corpus": "toy"}
    for name, tokenizer, model in (
        ("trigram", "bpe", {"family": "ngram"}),
        ("other", "bytes", {"family": "ngram"}),
        ("lstm", "bpe", {"family": "lstm", "layers": 1, "d_model": 8, "context_length": 8}),
    ):
        data["experiments"][name] = {"tokenizer": tokenizer, "model": model}
    with pytest.raises(UserError, match=re.escape(message)):
        read(data)
