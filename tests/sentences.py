"""A tiny parallel corpus: sentences and their translations, word for word but for the verb, which the source has at its end."""

import gzip
import random
from pathlib import Path

WORDS = {
    "hund": "dog", "katze": "cat", "vogel": "bird", "fisch": "fish", "maus": "mouse", "igel": "hedgehog",
    "alte": "old", "junge": "young", "rote": "red", "kleine": "small",
    "sieht": "sees", "hört": "hears", "sucht": "seeks", "mag": "likes",
}  # fmt: skip
NOUNS, ADJECTIVES, VERBS = list(WORDS)[:6], list(WORDS)[6:10], list(WORDS)[10:]


def pair(number: int) -> tuple[str, str]:
    """Sentence `number` and its translation."""
    chance = random.Random(number)
    noun_phrases = [[*chance.sample(ADJECTIVES, chance.randrange(3)), chance.choice(NOUNS)] for _ in range(2)]
    verb = chance.choice(VERBS)
    subject, thing = (["der", *phrase] for phrase in noun_phrases)
    ours, theirs = (["the", *(WORDS[word] for word in phrase)] for phrase in noun_phrases)
    return " ".join([*subject, *thing, verb]), " ".join([*ours, WORDS[verb], *theirs])


def write(folder: Path, packed: bool = True, **pairs: int) -> dict[str, dict[str, str]]:
    """Files with so many pairs for each split; returns them as a config names them."""
    files: dict[str, dict[str, str]] = {}
    begin = 0
    for split, count in pairs.items():
        found = [pair(number) for number in range(begin, begin + count)]
        begin += count
        files[split] = {}
        for side, lines in zip(("source", "target"), zip(*found, strict=True), strict=True):
            path = folder / (f"{split}.{side}.gz" if packed else f"{split}.{side}")
            content = "".join(f"{line}\n" for line in lines).encode()
            path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
            files[split][side] = str(path)
    return files
