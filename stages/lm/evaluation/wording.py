"""What was measured of a language model, in words."""

from typing import Any


def summary(stats: dict[str, Any]) -> str:
    """The result in one line."""
    bits = stats["bits_per_byte"]
    line = f"{bits['value']:.4f} bits per byte [{bits['low']:.4f}, {bits['high']:.4f}]"
    line += f", perplexity {stats['perplexity']['value']:.2f}"
    if stats["spelled_bits_per_byte"] is not None:
        line += f", {stats['spelled_bits_per_byte']:.4f} of the bits to spell unknown tokens"
    if stats["source"]:
        line += f", {stats['source']['excess_percent']['value']:.2f} % above the source"
    return line


def readme(model: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    asked = "- `tasks.jsonl`: each example of the tasks, and what each of its choices costs in nats\n" if stats["tasks"] else ""
    return f"""# Evaluation of {model}

{summary(stats)}.

The split `{stats["split"]}` has {stats["documents"]:,} documents ({stats["bytes"]:,} bytes, {stats["tokens"]:,} tokens); each was
predicted on its own. An interval holds {stats["confidence"]:.0%} of the values over documents drawn with replacement.
{closer_look(stats)}
- `stats.json`: all results
- `losses.npy`: what each document costs in nats, its end-of-text token and the spelling of unknown tokens included (float64)
- `bytes.npy`: the length of each document in UTF-8 bytes (int64)
{asked}"""


def closer_look(stats: dict[str, Any]) -> str:
    """What else was measured, a line each."""
    lines = []
    if stats["calibration"]:
        found = stats["calibration"]
        lines.append(f"Its most probable next tokens have a probability of {found['confidence']:.1%} on average, and "
                     f"{found['accuracy']:.1%} of them are right; "
                     f"the expected calibration error is {found['expected_calibration_error']:.2%}.")  # fmt: skip
    if stats["overlap"]:
        seen = stats["overlap"]
        lines.append(f"{seen['seen'] / max(seen['tokens'], 1):.1%} of the split's tokens lie in {seen['n']} tokens in a row that "
                     "the training text has too.")  # fmt: skip
    for name, task in stats["tasks"].items():
        right, sure = task["accuracy"]["value"], task["probability"]["value"]
        lines.append(f"Task {name}: {right:.1%} right, {sure:.1%} for the right choice, {task['chance']:.1%} by chance.")
    return "".join(f"\n{line}\n" for line in lines)
