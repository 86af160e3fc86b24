"""A tokenizer's artifact explained to a person."""

from typing import Any

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.settings import BpeSettings
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.tokenizers.settings import CharacterSettings, TokenizerSettings, WordSettings


def readme(corpus: str, settings: TokenizerSettings, tokenizer: TextTokenizer, stats: dict[str, Any]) -> str:
    """What it is, how far it compresses, and what it has learned; `stats` are those of its stats.json."""
    compression = stats["valid_bytes_per_token"]
    stands = f"{compression:.3f}" if compression else "an unknown number of"
    unknown = f" {stats['valid_unknown']:.2%} of its tokens are unknown." if stats["valid_unknown"] is not None else ""
    specials = ", ".join(f"`{token}` {index}" for token, index in stats["special_tokens"].items())
    listed = [f"special tokens: {specials}; the first one ends a text"]
    if stats["merges"] and isinstance(tokenizer, Tokenizer):
        merges = [f"`{a.decode('utf-8', 'replace')}` + `{b.decode('utf-8', 'replace')}`" for a, b in tokenizer.merges]
        listed += [f"first merges: {', '.join(merges[:10])}", f"last merges: {', '.join(merges[-10:])}"]
    if stats["kind"] in ("bpe", "word"):
        listed.append(f"longest tokens: {', '.join(f'`{token}`' for token in stats['longest_tokens'])}")
    files = "`tokenizer.json` (Hugging Face)"
    if isinstance(tokenizer, Tokenizer):
        files = f"`vocab.json` and `merges.txt` (GPT-2), {files}, `tokenizer.tiktoken` (ranks for tiktoken)"
    lines = "\n".join(f"- {line}" for line in listed)
    return f"""# Tokenizer of {corpus}

{description(settings, stats)}
A token stands for {stands} bytes of the valid split (its first 10 MB).{unknown}

{lines}

Files: {files}.
"""


def description(settings: TokenizerSettings, stats: dict[str, Any]) -> str:
    """Of what kind it is and what it was learned from."""
    size, specials = f"{stats['vocab_size']:,} tokens", f"{len(settings.special_tokens)} special"
    match settings:
        case BpeSettings():
            return (
                f"Byte-pair encoding: {size} (256 bytes, {specials}, {stats['merges']:,} merges) learned from\n"
                f"{stats['words']:,} words ({stats['distinct_words']:,} distinct) with the pattern `{settings.pattern}`."
            )
        case WordSettings():
            known, unknown = stats["known_words"] / stats["words"], settings.unknown_token
            return (
                f"Words of the pattern `{settings.pattern}`: {size} ({specials}, `{unknown}`, and the most frequent of\n"
                f"{stats['distinct_words']:,} distinct words). They are {known:.2%} of all {stats['words']:,} words\n"
                f"of the train split; the others become `{unknown}` and are lost."
            )
        case CharacterSettings(alphabet="corpus"):
            return (
                f"Characters: {size} ({specials}, `{settings.unknown_token}` for any other character, those of the train split)."
            )
        case CharacterSettings():
            return f"Characters by their Unicode number: {size} ({specials})."
    return f"Bytes: {size} (256 bytes, {specials})."
