"""A decoder-only transformer for Hugging Face transformers (version 5) in one file; it needs torch and transformers alone.

`AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)` loads it from a folder that holds this file. Who imports it
by itself calls `register()`: then `AutoModelForCausalLM.from_config(StagecraftConfig(...))` makes an untrained one. A variant is
a changed copy of this file in its folder.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast


class StagecraftConfig(PreTrainedConfig):
    """The ways in which such models differ; the defaults are those of Llama."""

    model_type = "stagecraft"

    vocab_size: int = 1024
    max_position_embeddings: int = 256
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 4
    head_dim: int = 32
    intermediate_size: int = 384
    tie_word_embeddings: bool = False
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    norm: str = "rms"  # rms, layer
    norm_position: str = "pre"  # pre: x + f(norm(x)); post: norm(x + f(x)); none: x + f(x)
    norm_eps: float = 1e-5
    qk_norm: bool = False  # RMSNorm of queries and keys
    position: str = "rope"  # rope, sinusoidal, learned, none
    rope_theta: float = 10000.0
    attention: str = "full"  # full, sliding (the last `window` positions), strided (by `stride`), linear
    window: int | None = None
    stride: int | None = None
    global_every: int | None = None  # every n-th layer has full attention
    feed_forward: str = "swiglu"  # gated: swiglu, geglu; plain: silu, gelu, relu
    bias: bool = False
    dropout: float = 0.0


class Attention(nn.Module):
    """Softmax attention to what a pattern lets a query see, or linear attention to all before it."""

    def __init__(self, config: StagecraftConfig, layer: int) -> None:
        super().__init__()
        is_global = config.global_every is not None and (layer + 1) % config.global_every == 0
        self.kind = "full" if is_global else config.attention
        self.layer, self.window, self.stride = layer, config.window, config.stride
        self.head_dim, self.group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
        inner, shared = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, inner, config.bias)
        self.k_proj = nn.Linear(config.hidden_size, shared, config.bias)
        self.v_proj = nn.Linear(config.hidden_size, shared, config.bias)
        self.output_proj = nn.Linear(inner, config.hidden_size, config.bias)
        self.q_norm = nn.RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor] | None = None, padding: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """x: (batch, queries, hidden_size); turn: cosines and sines of the angles by which the queries' positions turn pairs;
        padding: (batch, keys), 0 where nothing is to be seen."""
        query = self.q_norm(self._heads(self.q_proj(x)))  # (batch, heads, queries, head_dim)
        key, value = self.k_norm(self._heads(self.k_proj(x))), self._heads(self.v_proj(x))
        if self.kind == "linear":  # what weighs values is turned, what normalises is not: both are kept
            query, key = F.elu(query) + 1, F.elu(key) + 1
            query, key = torch.cat((turned(query, turn), query), -1), torch.cat((turned(key, turn), key), -1)
        else:
            query, key = turned(query, turn), turned(key, turn)
        if cache is not None:
            key, value = cache.update(key, value, self.layer)
        key, value = key.repeat_interleave(self.group, dim=1), value.repeat_interleave(self.group, dim=1)
        attended = self.attend(query, key, value, self.visible(query.shape[-2], key.shape[-2], padding, x.device))
        return self.output_proj(attended.transpose(1, 2).flatten(2))

    def visible(self, queries: int, keys: int, padding: Tensor | None, device: torch.device) -> Tensor:
        """Which keys each query sees, the queries being the last of the keys: (queries, keys), or (batch, 1, queries, keys)."""
        position = torch.arange(keys, device=device)
        distance = position[keys - queries :, None] - position
        seen = distance >= 0
        if self.kind == "sliding":
            seen = seen & (distance < self.window)
        if self.kind == "strided":
            seen = seen & ((distance < self.stride) | (distance % self.stride == 0))
        return seen if padding is None else seen & padding[:, None, None, :].bool() | (distance == 0)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """(batch, heads, queries, head_dim)."""
        if self.kind != "linear":
            return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        (query, plain_query), (key, plain_key) = query.chunk(2, -1), key.chunk(2, -1)
        weights, sizes = query @ key.mT * seen, plain_query @ plain_key.mT * seen  # (batch, heads, queries, keys)
        return weights @ value / sizes.sum(-1, keepdim=True)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, n * head_dim) -> (batch, n, length, head_dim)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class FeedForward(nn.Module):
    """W2 act(W1 x), or gated: W2 (act(W1 x) * W3 x)."""

    def __init__(self, config: StagecraftConfig) -> None:
        super().__init__()
        self.activation = {"swiglu": F.silu, "silu": F.silu, "geglu": F.gelu, "gelu": F.gelu, "relu": F.relu}[config.feed_forward]
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, config.bias)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, config.bias)
        if config.feed_forward in ("swiglu", "geglu"):
            self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.activation(self.w1(x))
        return self.w2(inner * self.w3(x) if hasattr(self, "w3") else inner)


class Block(nn.Module):
    """Attention, then a feed-forward network, each added to the residual stream."""

    def __init__(self, config: StagecraftConfig, layer: int) -> None:
        super().__init__()
        self.is_post_norm = config.norm_position == "post"
        self.ln1, self.attn = build_norm(config), Attention(config, layer)
        self.ln2, self.ffn = build_norm(config), FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, *given: object) -> Tensor:
        return self.add(self.add(x, self.ln1, self.attn, *given), self.ln2, self.ffn)

    def add(self, x: Tensor, norm: nn.Module, sublayer: nn.Module, *given: object) -> Tensor:
        """The residual connection around a sublayer."""
        if self.is_post_norm:
            return norm(x + self.dropout(sublayer(x, *given)))
        return x + self.dropout(sublayer(norm(x), *given))


class StagecraftForCausalLM(PreTrainedModel, GenerationMixin):
    """The language model: ids (batch, length) to logits (batch, length, vocab_size)."""

    config_class = StagecraftConfig
    _no_split_modules = ["Block"]
    _tied_weights_keys = {"lm_head.weight": "token_embeddings.weight"}

    def __init__(self, config: StagecraftConfig) -> None:
        super().__init__(config)
        self.token_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.position == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.ln_final = build_norm(config) if config.norm_position == "pre" else nn.Identity()
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: object,
    ) -> CausalLMOutputWithPast:
        """attention_mask: (batch, tokens so far), 0 at padding; labels: the ids themselves, -100 where nothing is learned."""
        cache = past_key_values if cache is None else cache  # its name from transformers 5.24 on
        if cache is None and (self.config.use_cache if use_cache is None else use_cache) and not self.training:
            cache = DynamicCache()
        x = self.token_embeddings(input_ids) if inputs_embeds is None else inputs_embeds  # (batch, length, hidden_size)
        if position_ids is None:
            start = 0 if cache is None else cache.get_seq_length()
            position_ids = torch.arange(start, start + x.shape[1], device=x.device)[None]  # (1, length)
        x = self.dropout(self.with_positions(x, position_ids))
        turn = self.turn(position_ids, x) if self.config.position == "rope" else None
        for layer in self.layers:
            x = layer(x, turn, attention_mask, cache)
        logits = self.lm_head(self.ln_final(x[:, -logits_to_keep:]))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss, logits, cache)

    def with_positions(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Token vectors, and vectors of their positions added where the model has those."""
        if self.config.position not in ("sinusoidal", "learned"):
            return x
        if self.config.tie_word_embeddings:  # the small numbers of an output layer
            x = x * self.config.hidden_size**0.5
        if self.config.position == "learned":
            return x + self.positions(position_ids)
        waves = angles(position_ids, 10000.0, self.config.hidden_size)
        return x + torch.stack((waves.sin(), waves.cos()), -1).flatten(-2)[..., : self.config.hidden_size].float().to(x.dtype)

    def turn(self, position_ids: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary angles, (batch, 1, length, head_dim / 2), at least in float32."""
        waves, wide = (
            angles(position_ids, self.config.rope_theta, self.config.head_dim),
            torch.promote_types(x.dtype, torch.float),
        )
        return waves.cos().float()[:, None].to(wide), waves.sin().float()[:, None].to(wide)

    def get_input_embeddings(self) -> nn.Module:
        return self.token_embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def _init_weights(self, module: nn.Module) -> None:
        """Linear layers as Glorot and Bengio 2010, embeddings with unit variance; normal, cut at three deviations."""
        is_head = module is self.token_embeddings and self.config.tie_word_embeddings
        if isinstance(module, nn.Linear | nn.Embedding):
            sigma = (2 / sum(module.weight.shape)) ** 0.5 if isinstance(module, nn.Linear) or is_head else 1.0
            init.trunc_normal_(module.weight, std=sigma, a=-3 * sigma, b=3 * sigma)
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)


def build_norm(config: StagecraftConfig) -> nn.Module:
    """The norm of one place; the identity in a model without norms."""
    if config.norm_position == "none":
        return nn.Identity()
    return (nn.RMSNorm if config.norm == "rms" else nn.LayerNorm)(config.hidden_size, config.norm_eps)


def angles(position_ids: Tensor, theta: float, width: int) -> Tensor:
    """(batch, length) -> (batch, length, ceil(width / 2)): position / theta^(2k / width)."""
    frequency = theta ** (-torch.arange(0, width, 2, device=position_ids.device, dtype=torch.float64) / width)
    return position_ids[..., None].double() * frequency


def turned(x: Tensor, turn: tuple[Tensor, Tensor] | None) -> Tensor:
    """Each pair (x[2k], x[2k + 1]) of (batch, heads, length, head_dim) turned by its angle (Su et al. 2021)."""
    if turn is None:
        return x
    cos, sin = turn
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def register() -> None:
    """Let the auto classes know this model, and `save_pretrained` write this file beside it, for who imports the file by itself.

    Not done by importing: a registered model is taken for every folder of its type, whatever code lies there.
    """
    AutoConfig.register("stagecraft", StagecraftConfig)
    AutoModelForCausalLM.register(StagecraftConfig, StagecraftForCausalLM)
    StagecraftConfig.register_for_auto_class()
    StagecraftForCausalLM.register_for_auto_class("AutoModelForCausalLM")
