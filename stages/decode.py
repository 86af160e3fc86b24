"""Write texts with a trained model.

python -m stages.decode --config FILE --model DIR --tokenizer DIR --out DIR
"""

import json
from typing import Any

from stages.lm import artifacts, script
from stages.lm.bpe.files import load_tokenizer
from stages.lm.inference import loading
from stages.lm.inference.generation import generate, sample_generator
from stages.lm.inference.settings import DecodingSettings
from stages.lm.progress import progress
from stages.lm.settings import parse


def main() -> None:
    args = script.arguments("decode", __doc__, inputs=("model", "tokenizer"))
    settings = parse(DecodingSettings, args.settings, args.config)
    model = artifacts.read(args.inputs["model"], "train")
    tokenizer = artifacts.read(args.inputs["tokenizer"], "bpe")
    loading.check_tokenizer(model, tokenizer.digest, tokenizer.path)

    texts = load_tokenizer(tokenizer.path)
    trained = loading.load(model, settings.device, settings.threads)
    samples: list[dict[str, Any]] = []
    inputs = {"model": model, "tokenizer": tokenizer}
    with artifacts.writing(args.out, "decode", settings.resolved(), inputs, {trained.module}) as draft:
        draft.seed = settings.seed
        with progress("decode", len(settings.prompts) * settings.samples, " texts") as bar:
            for number, prompt in enumerate(settings.prompts):
                generators = [sample_generator(settings.seed, number, sample) for sample in range(settings.samples)]
                completions = generate(trained, texts.encode(prompt), settings, generators)
                for sample, completion in enumerate(completions):
                    samples.append(
                        {
                            "prompt": prompt,
                            "sample": sample,
                            "completion": texts.decode(completion.tokens),
                            "tokens": len(completion.tokens),
                            "stop_reason": completion.stop_reason,
                            "seed": settings.seed,
                            "settings": settings.resolved(),
                        }
                    )
                bar.update(len(completions))
        draft.write_text("samples.jsonl", "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
        draft.write_text("samples.txt", readable(samples))
        stats = statistics(samples)
        draft.write_json("stats.json", stats)
        draft.write_text("README.md", readme(model.id, settings, stats))
    script.log.info("%s", readable(samples[:1]).strip())


def readable(samples: list[dict[str, Any]]) -> str:
    """The samples as a person reads them: a line about each, then prompt and completion as one text."""
    return "\n".join(
        f"── prompt {sample['prompt']!r}, sample {sample['sample'] + 1}: {sample['tokens']} tokens, {sample['stop_reason']}\n\n"
        f"{sample['prompt']}{sample['completion']}\n"
        for sample in samples
    )


def statistics(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """What the samples have in common: how many, how long, how many the model ended itself."""
    return {
        "samples": len(samples),
        "tokens": sum(sample["tokens"] for sample in samples),
        "ended": sum(sample["stop_reason"] == "end of text" for sample in samples),
    }


def readme(model: str, settings: DecodingSettings, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    return f"""# Texts by {model}

{stats["samples"]} texts, {stats["tokens"]:,} tokens in all; {stats["ended"]} of them ended by the model, the others by the limit
of {settings.max_tokens} tokens. Temperature {settings.temperature}, top-k {settings.top_k}, top-p {settings.top_p}, repetition
penalty {settings.repetition_penalty} over {settings.repetition_window} tokens, seed {settings.seed}.

- `samples.txt`: to read
- `samples.jsonl`: one JSON object for each text, with its prompt, completion, token count, stop reason and settings
"""


if __name__ == "__main__":
    script.run(main)
