"""All other transformers as a model of our own, whose code lies in the folder: `templates/modeling_stagecraft.py`."""

from pathlib import Path
from typing import Any

from stages.lm.hub.layouts import TIED, Arrays, TwoWayLayout, sizes, stated_sizes
from stages.lm.models.settings import TransformerSettings
from stages.lm.settings import parse

CODE = Path(__file__).parent / "templates" / "modeling_stagecraft.py"

OPTIONS = (
    "norm", "norm_position", "norm_eps", "qk_norm", "position", "rope_theta", "attention", "window", "stride", "global_every",
    "feed_forward", "bias", "dropout",
)  # fmt: skip
"""What has the same name here and there."""


class CustomLayout(TwoWayLayout):
    model_type, architecture = "stagecraft", "StagecraftForCausalLM"

    def fits(self, settings: Any) -> bool:
        return isinstance(settings, TransformerSettings)

    def config(self, settings: TransformerSettings, vocab_size: int) -> dict[str, Any]:
        module = CODE.stem
        auto_map = {"AutoConfig": f"{module}.StagecraftConfig", "AutoModelForCausalLM": f"{module}.{self.architecture}"}
        options = settings.resolved()
        own = {"vocab_size": vocab_size, "tie_word_embeddings": settings.tie_embeddings, "auto_map": auto_map}
        return sizes(settings) | {name: options[name] for name in OPTIONS} | own

    def settings(self, config: dict[str, Any], where: str) -> TransformerSettings:
        options = {name: config[name] for name in OPTIONS if name in config}
        own = {"family": "transformer", "tie_embeddings": config.get("tie_word_embeddings", False)}
        return parse(TransformerSettings, stated_sizes(config) | options | own, where)

    def code(self, trained: Path, settings: TransformerSettings) -> Path:  # noqa: ARG002, it is ours
        return CODE

    def to_hub(self, weights: Arrays, settings: TransformerSettings) -> Arrays:
        return _moved(weights, TIED[1], TIED[0]) if settings.tie_embeddings else weights

    def from_hub(self, weights: Arrays, settings: TransformerSettings) -> Arrays:
        return _moved(weights, TIED[0], TIED[1]) if settings.tie_embeddings else weights


def _moved(weights: Arrays, old: str, new: str) -> Arrays:
    return {new if name == old else name: array for name, array in weights.items()}
