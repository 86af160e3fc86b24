"""A model of Hugging Face transformers as a language model of ours: one that a Python file of the user's defines.

The file is imported when a model is built, and lies beside the weights of a trained one, which is loaded with that copy. Both are
what transformers itself makes: `save_pretrained` writes the folder and `from_pretrained` reads it.
"""

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.lm.errors import INSTALL, UserError
from stages.lm.models.huggingface.checks import check
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.huggingface.source import read_source
from stages.lm.models.huggingface.state import Group, HuggingFaceState


class HuggingFaceLM(nn.Module):
    """The language model around a `PreTrainedModel`, whose forward pass gives logits, and a loss where it is given labels."""

    trained_by: Literal["counting", "gradient"] = "gradient"

    def __init__(self, network: Any, context_length: int) -> None:
        super().__init__()
        self.network, self.context_length = network, context_length
        self.vocab_size: int = network.config.vocab_size

    def num_parameters(self) -> int:
        """How many numbers it learns."""
        return sum(parameter.numel() for parameter in self.parameters())

    def total_loss(self, ids: Tensor) -> Tensor:
        """Sum of -ln p(ids[:, t + 1] | ids[:, : t + 1]), in nats, by the loss of the model itself; ids: (batch, length + 1)."""
        loss: Tensor = self.network(input_ids=ids, labels=ids, use_cache=False).loss
        return loss * ids[:, 1:].numel()

    @torch.no_grad()
    def token_log_probs(self, ids: Tensor) -> Tensor:
        """ln p(ids[:, t + 1] | ids[:, : t + 1]): (batch, length) -> (batch, length - 1); length <= context_length + 1."""
        return -F.cross_entropy(self(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position, in float32; length <= context_length + 1."""
        found: Tensor = self.network(input_ids=ids, use_cache=False).logits
        return found.float()

    def start(self, batch: int) -> HuggingFaceState:
        from transformers import DynamicCache

        nothing = torch.empty(batch, 0, dtype=torch.long, device=next(self.parameters()).device)
        return HuggingFaceState([Group(list(range(batch)), nothing, DynamicCache())])

    @torch.no_grad()
    def advance(self, state: HuggingFaceState, ids: Tensor) -> Tensor:
        """ln p(next | the last context_length tokens read): (batch, vocab)."""
        if [group.rows for group in state.groups] == [list(range(len(ids)))]:
            return self._read_on(state.groups[0], ids)
        found = torch.zeros(len(ids), self.vocab_size, device=ids.device)
        for group in state.groups:
            if group.ids.shape[1] < self.context_length:  # nobody looks any more at a row that is full while others are not
                found[group.rows] = self._read_on(group, ids[group.rows])
        return found

    def _read_on(self, group: Group, ids: Tensor) -> Tensor:
        """Only what is not in the cache is computed: all of it for a model that keeps nothing, and when the window slides."""
        group.ids = torch.cat((group.ids, ids), dim=1)
        if group.ids.shape[1] > self.context_length:
            group.ids, group.cache = group.ids[:, -self.context_length :], type(group.cache)()
        new = group.ids[:, group.cache.get_seq_length() :]
        logits = self.network(input_ids=new, past_key_values=group.cache, use_cache=True).logits[:, -1]
        return torch.log_softmax(logits.float(), dim=-1)

    def check(self) -> None:
        """Raises UserError where it is no causal language model, or where decoding or loading it makes another one of it."""
        file = Path(inspect.getfile(type(self.network)))
        with explained(file, "fails"):
            check(self, str(file))

    def save(self, folder: Path) -> None:
        """Write the weights to `folder/model.safetensors`, the config and the code beside them.

        It is the code that the model was built by, which may have been changed meanwhile where transformers takes it from.
        """
        self.network.save_pretrained(folder)
        module = sys.modules[type(self.network).__module__]
        (folder / Path(str(module.__file__)).name).write_text(vars(module)["source"], encoding="utf-8")

    @classmethod
    def from_settings(cls, settings: HuggingFaceSettings, vocab_size: int) -> Self:
        """An untrained model. Raises UserError where the file has changed since the settings were read, or cannot be used."""
        file = Path(settings.file)
        source = read_source(file)
        if source.code != settings.code:
            raise UserError(f"{file}: has changed since the config was read; run the same command again")
        given = {"vocab_size": vocab_size, "max_position_embeddings": settings.context_length + 1}
        auto = classes(file, source.code)
        with explained(file, "makes no model of these settings"):
            config = auto.config.for_model(source.model_type, **settings.config, **given)
            for key in settings.config.keys() - declared(type(config)):
                raise UserError(f"model.config.{key}: {type(config).__name__} of {file} has no such key")
            return cls(auto.model.from_config(config), settings.context_length)

    @classmethod
    def load(cls, folder: Path, settings: HuggingFaceSettings, vocab_size: int) -> Self:
        """The model that `save` wrote, by its own copy of the code. Raises UserError if its weights do not fit."""
        file = folder / Path(settings.file).name
        code = read_source(file).code
        if code != settings.code:
            raise UserError(f"{file}: is not the code that this model was trained by; train it again")
        auto = classes(file, code)
        with explained(file, "cannot be loaded"):
            network, found = auto.model.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
        wrong = sorted(str(name) for names in found.values() for name in names)
        if wrong or network.config.vocab_size != vocab_size:
            raise UserError(f"{folder}: its weights are of another model ({', '.join(wrong[:3])} ...); train it again")
        return cls(network, settings.context_length)


class Auto:
    """The auto classes of transformers."""

    def __init__(self) -> None:
        """Raises UserError where the package is not installed."""
        try:
            from transformers import AutoConfig, AutoModelForCausalLM
            from transformers.utils.logging import disable_progress_bar
        except ImportError:
            raise UserError(f"model.family: huggingface needs the package transformers; {INSTALL}") from None
        disable_progress_bar()  # of files that are written and read in a moment
        self.config: Any = AutoConfig
        self.model: Any = AutoModelForCausalLM


def classes(file: Path, code: str) -> Auto:
    """The auto classes, which know those of a file. It is imported for that, under a name of its own for each version."""
    auto = Auto()
    name = f"variant_{code}.{file.stem}"  # transformers writes the last part into config.json
    with explained(file, "cannot be imported"):
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = str(file.absolute())
        vars(module)["source"] = text = file.read_text(encoding="utf-8")
        # Compiled here, as importing would leave a file of byte code beside it, in artifacts too.
        exec(compile(text, module.__file__, "exec"), vars(module))
    return auto


def declared(config: Any) -> set[str]:
    """The keys of a config class: its fields, and the arguments of constructors."""
    fields = set(getattr(config, "__dataclass_fields__", {}))
    return fields.union(*(inspect.signature(kind.__init__).parameters for kind in config.__mro__ if "__init__" in vars(kind)))


@contextmanager
def explained(file: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong in the user's file within the block is a UserError that names the line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file.absolute()]
        where = f"{file}, line {lines[-1]}" if lines else str(file)
        raise UserError(f"{where}: {what}: {type(error).__name__}: {error}") from error
