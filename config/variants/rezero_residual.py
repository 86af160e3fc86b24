"""Another residual connection: what each half of a block adds begins small, and how large it becomes is learned.

Bachlechner et al. 2020, "ReZero is All You Need": x + alpha f(x), an alpha for each half of each block, which starts at 0 there
and at `alpha` here; with 1 the model starts as a Llama. The rest is transformers' own Llama: only what changes is written down.
"""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer


class ReZeroConfig(LlamaConfig):
    """Llama's keys and one more."""

    model_type = "rezero-llama"

    alpha: float = 0.0


class ReZeroLayer(LlamaDecoderLayer):
    """A block whose two halves are weighed."""

    def __init__(self, config: ReZeroConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.alphas = nn.Parameter(torch.full((2,), float(config.alpha)))

    def forward(self, hidden_states: Tensor, **given: object) -> Tensor:
        """hidden_states: (batch, length, hidden_size)."""
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **given)
        hidden_states = hidden_states + self.alphas[0] * attended
        return hidden_states + self.alphas[1] * self.mlp(self.post_attention_layernorm(hidden_states))


class ReZeroForCausalLM(LlamaForCausalLM):
    """A Llama of such blocks. Its forward pass shifts the labels by one, as that of every causal model of transformers does."""

    config_class = ReZeroConfig

    def __init__(self, config: ReZeroConfig) -> None:
        super().__init__(config)
        self.model.layers = nn.ModuleList(ReZeroLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.post_init()  # the new blocks draw their weights


AutoConfig.register("rezero-llama", ReZeroConfig, exist_ok=True)
AutoModelForCausalLM.register(ReZeroConfig, ReZeroForCausalLM, exist_ok=True)
ReZeroConfig.register_for_auto_class()
ReZeroForCausalLM.register_for_auto_class("AutoModelForCausalLM")
