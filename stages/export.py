"""Write a trained transformer (decoder, translator or BERT) as a folder that the auto classes of Hugging Face load.

python -m stages.export --config FILE --model DIR --tokenizer DIR --evaluation DIR --out DIR

What --out holds can be loaded as it is, by its path, and its README.md is the model card.
"""

from stages.lm import artifacts, script
from stages.lm.errors import UserError
from stages.lm.hub.card import card
from stages.lm.hub.folder import layout_for, write_generation, write_model
from stages.lm.hub.settings import ExportSettings
from stages.lm.hub.tokenizer import check_kind, write_tokenizer
from stages.lm.models import registry
from stages.lm.settings import parse
from stages.lm.tokenizers.settings import TokenizerSettings


def main() -> None:
    args = script.arguments("export", __doc__, inputs=("model", "tokenizer", "evaluation"))
    settings = parse(ExportSettings, args.settings, args.config)
    inputs = {
        "model": artifacts.read(args.inputs["model"], "train"),
        "tokenizer": artifacts.read(args.inputs["tokenizer"], "bpe"),
        "evaluation": artifacts.read(args.inputs["evaluation"], "evaluate"),
    }
    model, tokenizer, evaluation = inputs.values()
    check_kind(parse(TokenizerSettings, tokenizer.settings, str(tokenizer.path)))
    registry.check_tokenizer(model.path, tokenizer.digest, tokenizer.path)
    evaluated = evaluation.manifest["inputs"]["model"]
    if evaluated["content"] != model.manifest["content"]:
        raise UserError(
            f"{evaluation.path}: is no evaluation of {model.path} as it is, but of {evaluated['id']} with the content "
            f"{evaluated['content'][:12]}; evaluate that model again, or give the other one"
        )
    description = registry.describe(model.path)
    layout = layout_for(description.settings, settings.layout)
    with artifacts.writing(args.out, "export", settings.resolved(), inputs) as draft:
        config = write_model(draft.path, model.path, description, layout)
        write_tokenizer(draft.path, tokenizer.path, description.context_length, description.settings.task)
        write_generation(draft.path, settings, description)
        draft.write_text("README.md", card(artifacts.title(args.out.resolve().name), description, config, **inputs))
        (architecture,) = config["architectures"]
        draft.write_json("stats.json", {"architecture": architecture, "parameters": model.json("stats.json")["parameters"]})
    script.log.info("%s", f"transformers loads {args.out} as {architecture}")


if __name__ == "__main__":
    script.run(main)
