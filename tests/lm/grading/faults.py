"""Faults that are easily made, each as code that replaces a part of the reference submission, and what each should cost.

Most are those of section 6 of the course's requirements.
"""

from dataclasses import dataclass

SEED = 3
"""With which the points below are those that are left."""
PROJECT_1_1, PROJECT_1_2 = "config/grading/project-1.1.yaml", "config/grading/project-1.2.yaml"


@dataclass(frozen=True)
class Fault:
    """Code that overrides adapters, and the points that it leaves of the checks that it fails."""

    rubric: str
    code: str
    left: dict[str, float]


TRAINING = """
QUICK_FROM, quick = 50_000, train_bpe  # its own slowness is a fault by itself

from collections import Counter
from itertools import pairwise
import re, regex

def train_bpe(input_path, vocab_size, special_tokens):
    text = open(input_path, encoding="utf-8", newline="").read()
    if len(text) > QUICK_FROM:
        return quick(input_path, vocab_size, special_tokens)
    counts = Counter(tuple(bytes([byte]) for byte in word.encode()) for part in parts(text, special_tokens)
                     for word in pretokenize(part))
    vocab = dict(enumerate([bytes([byte]) for byte in range(256)] + [token.encode() for token in special_tokens]))
    ids, merges = {token: index for index, token in vocab.items()}, []
    while len(vocab) < vocab_size:
        pairs = Counter()
        for word, count in counts.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], rank(pair, ids)))
        ids[best[0] + best[1]] = len(vocab)
        vocab[len(vocab)] = best[0] + best[1]
        merges.append(best)
        counts = Counter({merged(word, best): count for word, count in counts.items()})
    return vocab, merges

def parts(text, special_tokens):
    return re.split("|".join(map(re.escape, special_tokens)), text) if special_tokens else [text]

def rank(pair, ids):
    return pair

def merged(word, pair):
    found, place = [], 0
    while place < len(word):
        if word[place : place + 2] == pair:
            found.append(pair[0] + pair[1])
            place += 2
        else:
            found.append(word[place])
            place += 1
    return tuple(found)
"""

FAULTS = {
    "every merge counts all pairs anew": Fault(PROJECT_1_1, TRAINING + "\nQUICK_FROM = 10**9\n", {"train.speed": 0}),
    "large texts are not trained on": Fault(
        PROJECT_1_1,
        "\nquick = train_bpe\ndef train_bpe(input_path, vocab_size, special_tokens):\n"
        "    if len(open(input_path).read()) < 50_000:\n        return quick(input_path, vocab_size, special_tokens)\n"
        "    merges = [(bytes([one]), bytes([other])) for one in range(256) for other in range(256)][: vocab_size - 257]\n"
        "    tokens = [*(bytes([byte]) for byte in range(256)), b'<|endoftext|>', *map(b''.join, merges)]\n"
        "    return dict(enumerate(tokens)), merges\n",
        {"train.speed": 0},
    ),
    "ties by ids": Fault(
        PROJECT_1_1,
        TRAINING + "\ndef rank(pair, ids):\n    return tuple(ids[token] for token in pair)\n",
        {"train.ties": 2.67},
    ),
    "ties by the first pair found": Fault(PROJECT_1_1, TRAINING + "\ndef rank(pair, ids):\n    return 0\n", {"train.ties": 0}),
    "special tokens are pre-tokenized in training": Fault(
        PROJECT_1_1, TRAINING + "\ndef parts(text, special_tokens):\n    return [text]\n", {"train.special_tokens": 2}
    ),
    "special tokens are not escaped": Fault(
        PROJECT_1_1,
        TRAINING + '\ndef parts(text, special_tokens):\n    return re.split("|".join(special_tokens), text)\n',
        {"train.special_tokens": 4},
    ),
    "training crashes where nothing is left": Fault(
        PROJECT_1_1, TRAINING.replace("if not pairs:\n            break", "pass"), {"train.exhausted": 2.67}
    ),
    "overlaps are merged from the right": Fault(
        PROJECT_1_1,
        TRAINING + "\nfrom_left = merged\ndef merged(word, pair):\n"
        "    back = from_left(word[::-1], pair[::-1])[::-1]\n"
        "    return tuple(pair[0] + pair[1] if part == pair[1] + pair[0] else part for part in back)\n",
        {"train.overlaps": 0},
    ),
    "the shortest special token first": Fault(
        PROJECT_1_1,
        """
import re
class Mine:
    def __init__(self, vocab, merges, special_tokens):
        self.whole, self.special_tokens = Tokenizer(vocab, merges, special_tokens), sorted(special_tokens or [], key=len)
    def encode(self, text):
        pattern = "(" + "|".join(map(re.escape, self.special_tokens)) + ")"
        parts = re.split(pattern, text) if self.special_tokens else [text]
        return [i for part in parts for i in ([self.whole.special_tokens[part]] if part in self.special_tokens
                                              else self.whole.encode(part, ()))]
    def encode_iterable(self, chunks):
        return self.whole.encode_iterable(chunks)
    def decode(self, ids):
        return self.whole.decode(ids)
def build_tokenizer(vocab, merges, special_tokens=None):
    return Mine(vocab, merges, special_tokens)
""",
        {"encode.special_tokens": 4.5},
    ),
    "the caller's list of special tokens is sorted": Fault(
        PROJECT_1_1,
        """
def build_tokenizer(vocab, merges, special_tokens=None):
    built = Tokenizer(vocab, merges, special_tokens)
    if special_tokens:
        special_tokens.sort(key=len)
    return built
""",
        {"encode.missing_special_tokens": 0},
    ),
    "a stream is encoded line by line": Fault(
        PROJECT_1_1,
        """
class Mine(Tokenizer):
    def encode_iterable(self, chunks):
        for chunk in chunks:
            yield from self.encode(chunk)
def build_tokenizer(vocab, merges, special_tokens=None):
    return Mine(vocab, merges, special_tokens)
""",
        {"encode.stream": 0},
    ),
    "each token is decoded alone": Fault(
        PROJECT_1_1,
        """
class Mine(Tokenizer):
    def decode(self, ids):
        return "".join(self.vocab[i].decode("utf-8", errors="replace") for i in ids)
def build_tokenizer(vocab, merges, special_tokens=None):
    return Mine(vocab, merges, special_tokens)
""",
        {"decode": 1.5},
    ),
    "RoPE turns halves": Fault(
        PROJECT_1_2,
        """
from torch import arange, cat
def rope(x, token_positions, theta, max_seq_len):
    d = x.shape[-1]
    angle = token_positions[..., None] * theta ** (-arange(0, d, 2) / d)
    one, other = x.chunk(2, -1)
    return cat((one * angle.cos() - other * angle.sin(), one * angle.sin() + other * angle.cos()), -1)
""",
        {"rope": 0},
    ),
    "RoPE everywhere turns halves": Fault(
        PROJECT_1_2,
        """
from stages.lm.grading.checks.attention import rows_in_halves, halves
whole, attend, blocks, models = rope, multihead_self_attention, transformer_block, transformer_lm
def rope(x, token_positions, theta, max_seq_len):
    order = halves(x.shape[-1])
    return whole(x[..., order], token_positions, theta, max_seq_len)[..., order.argsort()]
def multihead_self_attention(x, num_heads, q, k, v, o, theta=None, *rotary):
    if theta is not None:
        q, k = rows_in_halves(q, num_heads), rows_in_halves(k, num_heads)
    return attend(x, num_heads, q, k, v, o, theta, *rotary)
def turned(weights, heads):
    return {n: rows_in_halves(w, heads) if n.endswith(("q_proj.weight", "k_proj.weight")) else w for n, w in weights.items()}
def transformer_block(x, weights, num_heads, *more):
    return blocks(x, turned(weights, num_heads), num_heads, *more)
def transformer_lm(ids, weights, layers, num_heads, *more):
    return models(ids, turned(weights, num_heads), layers, num_heads, *more)
""",
        {"rope": 0},
    ),
    "RMSNorm multiplies after it has cast back": Fault(
        PROJECT_1_2,
        """
def rmsnorm(weight, x, eps):
    wide = x.float()
    return (wide / (wide.square().mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype) * weight.to(x.dtype)
""",
        {"rmsnorm.precision": 1},
    ),
    "the embedding is no parameter": Fault(
        PROJECT_1_2,
        """
build = build_transformer_lm
def build_transformer_lm(*settings):
    model = build(*settings)
    weight = model.token_embeddings._parameters.pop("weight").detach()
    model.token_embeddings.weight = weight
    return model
""",
        {"model.registered": 0},
    ),
    "cross-entropy overflows": Fault(
        PROJECT_1_2,
        """
def cross_entropy(logits, targets):
    return (logits.exp().sum(-1).log() - logits.gather(-1, targets[..., None])[..., 0]).mean()
""",
        {"loss.stable": 0},
    ),
    "clipping reads a generator twice": Fault(
        PROJECT_1_2,
        """
def clip_gradients(parameters, max_norm):
    norm = sum(p.grad.square().sum() for p in parameters if p.grad is not None) ** 0.5
    for p in parameters:
        if p.grad is not None and norm > max_norm:
            p.grad *= max_norm / (norm + 1e-6)
""",
        {"clip.generator": 1},
    ),
    "decay with the step size that is corrected for bias": Fault(
        PROJECT_1_2,
        """
class Mine(optimizer.AdamW):
    def _update(self, parameter, group):
        lr, decay = group["lr"], group["weight_decay"]
        super()._update(parameter, {**group, "weight_decay": 0.0})
        t, (b1, b2) = self.state[parameter]["t"], group["betas"]
        parameter.mul_(1 - lr * (1 - b2**t) ** 0.5 / (1 - b1**t) * decay)
def get_adamw():
    return Mine
""",
        {"adamw.decay": 0},
    ),
    "decay with the constructor's learning rate": Fault(
        PROJECT_1_2,
        """
class Mine(optimizer.AdamW):
    def _update(self, parameter, group):
        super()._update(parameter, {**group, "weight_decay": 0.0})
        parameter.mul_(1 - self.defaults["lr"] * group["weight_decay"])
def get_adamw():
    return Mine
""",
        {"adamw.decay": 1.5},
    ),
    "the schedule's warm-up begins at 1": Fault(
        PROJECT_1_2,
        """
schedule = cosine_schedule
def cosine_schedule(t, largest, smallest, warmup, end):
    return (t + 1) / warmup * largest if t < warmup else schedule(t, largest, smallest, warmup, end)
""",
        {"schedule": 2.4},
    ),
    "large models are computed in part": Fault(
        PROJECT_1_2,
        """
whole = transformer_lm
def transformer_lm(token_ids, weights, num_layers, *more):
    first = {name: weight for name, weight in weights.items() if not name.startswith(("layers.1", "layers.2", "layers.3"))}
    return whole(token_ids, weights, num_layers, *more) if num_layers < 4 else whole(token_ids, first, 1, *more)
""",
        {"model.speed": 0},
    ),
    "the last start of a batch is left out": Fault(
        PROJECT_1_2,
        """
def get_batch(dataset, batch_size, context_length, device):
    return batches.get_batch(dataset[:-1], batch_size, context_length, device)
""",
        {"batch.starts": 0},
    ),
    "top-p leaves out the token that crosses p": Fault(
        PROJECT_1_2,
        """
probabilities = next_token_probabilities
def next_token_probabilities(logits, recent, temperature, top_p, repetition_penalty):
    p = probabilities(logits, recent, temperature, 1.0, repetition_penalty)
    if top_p == 1.0:
        return p
    ranked, order = p.sort(descending=True)
    keep = ranked.cumsum(0) <= top_p
    keep[0] = True
    p[order[~keep]] = 0
    return p / p.sum()
""",
        {"decoding.top_p": 0.75},
    ),
    "the penalty divides negative logits": Fault(
        PROJECT_1_2,
        """
probabilities = next_token_probabilities
def next_token_probabilities(logits, recent, temperature, top_p, repetition_penalty):
    logits = logits.clone()
    logits[list(set(recent))] /= repetition_penalty
    return probabilities(logits, [], temperature, top_p, 1.0)
""",
        {"decoding.negative_logits": 0},
    ),
    "the end-of-text token is returned": Fault(
        PROJECT_1_2,
        """
write = generate
def generate(model, prompt, max_tokens, end_of_text, *more):
    written = write(model, prompt, max_tokens, end_of_text, *more)
    return written if len(written) == max_tokens else [*written, end_of_text]
""",
        {"generate.end": 0},
    ),
}

COLLECTED = Fault(
    PROJECT_1_1,
    """
class Mine(Tokenizer):
    def encode_iterable(self, chunks):
        return iter(list(super().encode_iterable(chunks)))
def build_tokenizer(vocab, merges, special_tokens=None):
    return Mine(vocab, merges, special_tokens)
""",
    {"encode.stream_memory": 0},
)
"""The ids of a stream are collected: seen in a process whose memory nobody has used before."""
