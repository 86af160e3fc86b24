"""The reference of all config keys, from the settings themselves: `python -m workflow.reference > config/README.md`."""

import json
import re
import sys
from typing import Any

from workflow.config import schema

INTRODUCTION = """\
# Config keys

A config file is YAML. It names corpora, tokenizers, experiments and studies, which refer to each other by name. Every entry of
these sections may say `extends: NAME` to start from another entry of its section: mappings are merged key by key, everything else
is replaced, and a model of another `family` (a corpus of another `source`) replaces the one it extends whole.

This page is made from the code by `python -m workflow.reference`; `workflow/schemas/config.schema.json` holds the same as a JSON
schema for editors.
"""

SECTIONS = {
    "Config": "The whole file",
    "GrammarCorpus": "Corpora: `source: grammar`",
    "FileCorpus": "Corpora: `source: file`",
    "UrlCorpus": "Corpora: `source: url`",
    "HuggingFaceCorpus": "Corpora: `source: huggingface`",
    "ParallelCorpus": "Corpora: `source: parallel`",
    "Download": "A downloaded file",
    "SentenceFiles": "Files of a parallel corpus",
    "Shares": "Shares of held-out splits",
    "BpeTokenizer": "Tokenizers: `kind: bpe`",
    "ByteTokenizer": "Tokenizers: `kind: byte`",
    "CharacterTokenizer": "Tokenizers: `kind: character`",
    "WordTokenizer": "Tokenizers: `kind: word`",
    "Experiment": "Experiments",
    "TransformerSettings": "Models: `family: transformer`",
    "Shape": "The shape of a transformer",
    "RnnSettings": "Models: `family: rnn`",
    "LstmSettings": "Models: `family: lstm`",
    "GruSettings": "Models: `family: gru`",
    "RnnSeq2SeqSettings": "Models: `family: rnn-seq2seq`",
    "TransformerSeq2SeqSettings": "Models: `family: transformer-seq2seq`",
    "BertSettings": "Models: `family: bert`",
    "SkipGramSettings": "Models: `family: skipgram`",
    "CbowSettings": "Models: `family: cbow`",
    "NgramSettings": "Models: `family: ngram`",
    "HuggingFaceSettings": "Models: `family: huggingface`",
    "GradientsOf": "Studies: `kind: gradients`",
    "Initialisation": "Starts of recurrent matrices",
    "ComplexityOf": "Studies: `kind: complexity`",
    "TokenizersOf": "Studies: `kind: tokenizers`",
    "AccountingStudy": "Studies: `kind: accounting`",
    "ScalingOf": "Studies: `kind: scaling`",
    "Sweep": "Sweeps",
    "TrainingSettings": "Training",
    "EvaluationSettings": "Evaluation",
    "CalibrationSettings": "Calibration",
    "OverlapSettings": "Overlap with the training text",
    "GrammarTask": "Tasks: `source: grammar`",
    "FileTask": "Tasks: `source: file`",
    "DecodingSettings": "Decoding",
    "TranslationSettings": "Translation",
    "MaskedSettings": "Filling in blanks",
    "ClassificationSettings": "A task to fine-tune on",
    "VectorsSettings": "Word vectors",
    "ExportSettings": "Export to Hugging Face transformers",
    "Execution": "Execution",
    "MachineSettings": "The machine that trains",
    "JobSettings": "Jobs on a cluster",
}


def reference() -> str:
    """The page, in Markdown. Raises KeyError where a section is not described."""
    document = schema()
    models = {"Config": document, **document["$defs"]}
    del models["Extending"]
    unknown = models.keys() - SECTIONS.keys()
    if unknown:
        raise KeyError(f"settings without a section on the page: {sorted(unknown)}")
    return "\n".join([INTRODUCTION, *(section(title, models[name]) for name, title in SECTIONS.items())])


def section(title: str, model: dict[str, Any]) -> str:
    """One group of settings as a table."""
    required = [*model.get("required", []), *model.get("anyOf", [{}])[0].get("required", [])]  # or what may stand for them
    rows = [
        f"| `{key}` | {kind(entry)} | {default(key, entry, required)} | {' '.join(entry.get('description', '').split())} |"
        for key, entry in sorted(model["properties"].items(), key=lambda item: item[0] not in required)  # these first
    ]
    rows = [row.replace("<|", "<\\|").replace("|>", "\\|>") for row in rows]
    description = " ".join(model.get("description", "").split())
    return "\n".join([f"## {title}", "", description, "", "| key | value | default | |", "|---|---|---|---|", *rows, ""])


def kind(entry: dict[str, Any]) -> str:
    """The type and bounds of a value in words."""
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "$ref" in entry:
        return link(SECTIONS[entry["$ref"].rpartition("/")[2]])
    for union in ("anyOf", "oneOf"):
        if union in entry:
            return " or ".join(dict.fromkeys(kind(option) for option in entry[union]))
    match entry["type"]:
        case "array":
            return "list of " + (kind(entry["items"]) if "items" in entry else "values")
        case "object":
            below = next(iter(entry.get("patternProperties", {}).values()), entry.get("additionalProperties"))
            below = below["anyOf"][1] if isinstance(below, dict) and "Extending" in str(below.get("anyOf")) else below
            return "mapping to " + kind(below) if isinstance(below, dict) else "mapping"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true` or `false`", "null": "`null`"}
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {entry[name]:g}" for name, sign in bounds.items() if name in entry)
    return words[entry["type"]] + (f" {limits}" if limits else "")


def link(title: str) -> str:
    """A link to a section of the page."""
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
    return f"[{title.replace('`', '')}](#{anchor})"


def default(key: str, entry: dict[str, Any], required: list[str]) -> str:
    """The default value, `required`, or nothing where it is a group of settings."""
    if key in required:
        return "required"
    value = entry.get("default")
    return "" if isinstance(value, dict) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
