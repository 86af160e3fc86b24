"""What a model wrote as a person reads it, and the page that explains an artifact of it."""

from typing import Any

from stages.lm.inference.settings import DecodingSettings, TranslationSettings


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
of {settings.max_tokens} tokens{" or where they were to stop" if settings.stop or settings.stop_ids else ""}. {way(settings)}.
{drafts(settings, stats)}
- `samples.txt`: to read
- `samples.jsonl`: one JSON object for each text, with its prompt, completion, token count, stop reason and settings
"""


def drafts(settings: DecodingSettings, stats: dict[str, Any]) -> str:
    """What came of the drafts, where there were any."""
    if "speculation" not in stats:
        return ""
    found = stats["speculation"]
    who = f"Repeats and {settings.draft}" if settings.draft_repeats else settings.draft
    return (
        f"\n{who} drafted {found['drafted']:,} tokens, of which {found['acceptance']:.0%} were taken: "
        f"{found['tokens_per_pass']:.2f} tokens for each pass of the model.\n"
    )


def way(settings: DecodingSettings) -> str:
    """How the tokens were chosen, in one sentence."""
    if settings.beams > 1:
        return f"Found by {searched(settings.beams, settings.length_penalty)}"
    steps = [f"Temperature {settings.temperature}, top-k {settings.top_k}, top-p {settings.top_p}"]
    steps += [f"min-p {settings.min_p}"] if settings.min_p else []
    steps += [f"typical {settings.typical_p}"] if settings.typical_p else []
    steps += [f"repetition\npenalty {settings.repetition_penalty} over {settings.repetition_window} tokens"]
    if settings.counts_tokens:
        steps += [f"presence penalty {settings.presence_penalty}, frequency penalty {settings.frequency_penalty}"]
    return ", ".join([*steps, f"seed {settings.seed}"])


def searched(beams: int, length_penalty: float) -> str:
    """What the search was, for the middle of a sentence."""
    return f"beam search of {beams} with length penalty {length_penalty}"


def readable_translations(samples: list[dict[str, Any]]) -> str:
    """Source, reference if there is one, and translation, one below the other."""
    return "\n".join(
        f"   source: {sample['prompt']}\n"
        + (f"reference: {sample['reference']}\n" if sample["reference"] is not None else "")
        + f"    found: {sample['completion']}\n"
        for sample in samples
    )


def translations_readme(model: str, settings: TranslationSettings, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    way = searched(settings.beam_size, settings.length_penalty)
    return f"""# Translations by {model}

{stats["samples"]} sentences, {stats["tokens"]:,} tokens in all; {stats["ended"]} ended by the model, the others by their limit.
Found by {way if settings.beam_size > 1 else "taking the most probable token each time"}.

- `samples.txt`: to read
- `samples.jsonl`: one JSON object for each sentence, with its translation, reference, token count and log-probability
- `alignments.json`: the attention of a recurrent model for the first sentences, from each word written to the words read
"""


def readable_blanks(samples: list[dict[str, Any]]) -> str:
    """Each prompt, and below it the candidates for each of its blanks."""
    return "\n".join(
        "\n".join([sample["prompt"], *("    " + candidates(blank) for blank in sample["blanks"]), ""]) for sample in samples
    )


def candidates(blank: list[dict[str, Any]]) -> str:
    """The candidates for a blank with their probabilities."""
    return ", ".join(f"{one['token'].strip() or repr(one['token'])} {one['probability']:.1%}" for one in blank)


def blanks_readme(model: str, samples: list[dict[str, Any]]) -> str:
    """The artifact explained to a person."""
    return f"""# Blanks filled in by {model}

{len(samples)} texts. Each blank is filled in from the text around it, other blanks included as blanks.

- `samples.txt`: to read
- `samples.jsonl`: one JSON object for each text, with the candidates for its blanks and their probabilities
"""


def readable_neighbours(near: list[dict[str, Any]]) -> str:
    """A line for each word."""
    return "\n".join(f"{one['word']}: {', '.join(f'{word} {cosine:.2f}' for word, cosine in one['neighbours'])}" for one in near)


def vectors_readme(model: str, near: list[dict[str, Any]]) -> str:
    """The artifact explained to a person."""
    return f"""# Word vectors of {model}

The words nearest to the most frequent ones, with the cosine of the angle between their vectors:

{readable_neighbours(near)}

- `neighbours.json`: the same
- `picture.json`: frequent words in the plane in which their vectors differ most, and the share of the variance that it shows
"""
