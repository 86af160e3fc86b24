"""The model card of an exported folder, made from the artifacts that the model comes from."""

from typing import Any, NamedTuple

import yaml

from stages.lm.artifacts import Artifact, title
from stages.lm.models.registry import ModelDescription
from stages.lm.models.settings import Task

TRAINING = ("optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "precision", "seed")
"""The settings of a training that the card tells."""


class Purpose(NamedTuple):
    """How the card speaks of a model, by what it is for."""

    pipeline: str
    """The hub's name for it."""
    kind: str
    measures: dict[str, str]
    """What is measured, under the names of an evaluation's stats.json and in words."""
    usage: str
    """The lines that load the model and write a text, or fill in a blank; `{trust}` stands for what a folder with code needs.
    Texts begin with the token that ends the one before."""


PURPOSES: dict[Task, Purpose] = {
    "language model": Purpose(
        "text-generation",
        "decoder-only transformer",
        {"bits_per_byte": "bits per byte", "perplexity": "perplexity"},
        """from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
model = AutoModelForCausalLM.from_pretrained(folder{trust})
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer(tokenizer.bos_token + "Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids)[0]))
""",
    ),
    "translation": Purpose(
        "translation",
        "transformer that translates",
        {"bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity"},
        """from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

folder = "."  # this folder
model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
ids = tokenizer("a sentence", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids)[0], skip_special_tokens=True))
""",
    ),
    "masked": Purpose(
        "fill-mask",
        "transformer that fills in blanks",
        {"pseudo_perplexity": "pseudo-perplexity", "accuracy": "share of hidden tokens found"},
        """from transformers import pipeline

print(pipeline("fill-mask", ".")("Once upon a [MASK]."))  # . is this folder
""",
    ),
}


def card(
    name: str, description: ModelDescription, config: dict[str, Any], model: Artifact, tokenizer: Artifact, evaluation: Artifact
) -> str:
    """README.md: what the model is, how to use it, how good it is, where it comes from. No clock or machine is in it.

    config: what config.json says.
    """
    results, purpose = evaluation.json("stats.json"), PURPOSES[description.settings.task]
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(metadata(name, purpose, config, evaluation, results), sort_keys=False)}---",
            f"# {name}\n",
            introduction(description, purpose, config, model),
            f"## Use\n\n```python\n{purpose.usage.format(trust=trust)}```\n",
            f"A text has at most {description.context_length} tokens.\n",
            f"## Evaluation\n\n{measured(purpose, results)}\n",
            f"## Model\n\n{table(description.settings.resolved())}",
            f"## Training\n\n{training(model)}",
            f"## Provenance\n\n{provenance(model, tokenizer, evaluation)}",
        ]
    )


def metadata(
    name: str, purpose: Purpose, config: dict[str, Any], evaluation: Artifact, results: dict[str, Any]
) -> dict[str, Any]:
    """What a hub reads of the card."""
    corpus = title(evaluation.manifest["inputs"]["corpus"]["id"])
    measures = [{"type": measure, "value": results[measure]["value"]} for measure in purpose.measures]
    return {
        "library_name": "transformers",
        "pipeline_tag": purpose.pipeline,
        "tags": list(dict.fromkeys((config["model_type"], "stagecraft"))),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": purpose.pipeline},
                        "dataset": {"name": corpus, "type": corpus, "split": results["split"]},
                        "metrics": measures,
                    }
                ],
            }
        ],
    }


def introduction(description: ModelDescription, purpose: Purpose, config: dict[str, Any], model: Artifact) -> str:
    """What the model is, in a paragraph."""
    stats = model.json("stats.json")
    (architecture,), auto_map = config["architectures"], config.get("auto_map")
    own = f"; its code is `{auto_map['AutoConfig'].partition('.')[0]}.py`" if auto_map else ""
    kind = "language model" if description.family == "huggingface" else purpose.kind
    return (
        f"A {kind} of {stats['parameters']:,} parameters with {description.vocab_size:,} tokens, trained on "
        f"{stats['tokens']:,} tokens. transformers (version 5) loads it as `{architecture}`{own}.\n"
    )


def measured(purpose: Purpose, results: dict[str, Any]) -> str:
    """The results on held-out text, with their intervals."""
    share = f"{results['confidence']:.0%}"
    unit = "documents" if "documents" in results else "pairs"
    lines = [f"On {results[unit]:,} {unit} of the split `{results['split']}` ({share} intervals over {unit}):\n"]
    for measure, words in purpose.measures.items():
        value = results[measure]
        lines.append(f"- {words}: {value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]")
    if results.get("source"):
        lines.append(f"- the source's own entropy: {results['source']['bits_per_byte']:.4f} bits per byte")
    return "\n".join(lines)


def table(values: dict[str, Any]) -> str:
    """Settings as a table."""
    rows = [f"| `{key}` | `{value}` |" for key, value in values.items() if value is not None]
    return "\n".join(["| setting | value |", "|---|---|", *rows, ""])


def training(model: Artifact) -> str:
    """How the model was trained, and how that ended."""
    stats, settings = model.json("stats.json"), model.settings["training"]
    values = {key: settings[key] for key in TRAINING}
    known = {key: stats[key] for key in ("steps", "tokens", "epochs", "loss", "validation_loss") if key in stats}
    return table(values | known)


def provenance(model: Artifact, tokenizer: Artifact, evaluation: Artifact) -> str:
    """The artifacts that it comes from; their manifests lead on to everything else."""
    made_of = evaluation.manifest["inputs"] | {"tokenizer": {"id": tokenizer.id, "content": tokenizer.manifest["content"]}}
    rows = [f"| {role} | `{given['id']}` | `{given['content'][:12]}` |" for role, given in made_of.items()]
    return "\n".join(["| | artifact | content |", "|---|---|---|", *rows, "", f"Code version `{model.manifest['code']}`.", ""])
