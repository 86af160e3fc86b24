"""Settings of the model families: what a config file may say under `model`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PositiveFloat, model_validator

from stages.lm.errors import UserError
from stages.lm.models.bert.settings import BertSettings
from stages.lm.models.huggingface.settings import HuggingFaceSettings
from stages.lm.models.recurrent.settings import GruSettings, LstmSettings, RnnSettings
from stages.lm.models.seq2seq.settings import RnnSeq2SeqSettings, TransformerSeq2SeqSettings
from stages.lm.models.shape import Shape, resolve
from stages.lm.models.stack_settings import StackSettings
from stages.lm.models.vectors.settings import CbowSettings, SkipGramSettings
from stages.lm.settings import Settings, parse

TrainedBy = Literal["counting", "gradient"]
LearnsFrom = Literal["windows", "streams", "pairs", "masked", "contexts"]
"""What a model trained by gradient descent learns from, see `training.data`."""
Task = Literal["language model", "translation", "masked", "vectors"]
"""What a model is for: by it the later stages choose what to measure and to show."""


def _numbers_or_shape(schema: dict[str, Any]) -> None:
    """Tell editors that `shape` may stand for the numbers."""
    numbers = ["layers", "heads", "d_model"]
    schema["required"] = [key for key in schema["required"] if key not in numbers]
    schema["anyOf"] = [{"required": numbers}, {"required": ["shape"]}]


class TransformerSettings(StackSettings):
    """A decoder-only transformer; by default pre-norm RMSNorm, rotary positions, SwiGLU, no biases."""

    model_config = ConfigDict(json_schema_extra=_numbers_or_shape)

    trained_by: ClassVar[TrainedBy] = "gradient"
    learns_from: ClassVar[LearnsFrom] = "windows"
    task: ClassVar[Task] = "language model"

    family: Literal["transformer"]
    shape: Shape | None = None
    """Ratios instead of `layers`, `heads`, `d_head`, `d_model` and `d_ff`, at a fixed number of parameters."""
    tie_embeddings: bool = False
    """Use the token embeddings as the output layer too."""

    @model_validator(mode="before")
    @classmethod
    def _from_shape(cls, data: Any) -> Any:
        """Numbers in place of the ratios: nothing after this sees `shape`."""
        if not isinstance(data, dict) or data.get("shape") is None:
            return data
        data = dict(data)
        shape = data.pop("shape")
        try:
            numbers = resolve(parse(Shape, shape, "shape"), data.get("feed_forward", "swiglu"))
        except UserError as error:
            raise ValueError(str(error)) from None
        if both := sorted(numbers.keys() & data.keys()):
            raise ValueError(f"shape stands for {', '.join(both)}; leave out the one or the other")
        return data | numbers


class NgramSettings(Settings):
    """An n-gram model: counts of short sequences, smoothed."""

    trained_by: ClassVar[TrainedBy] = "counting"
    task: ClassVar[Task] = "language model"

    family: Literal["ngram"]
    order: Annotated[int, Field(ge=1, le=16)] = 3
    """Length of the longest n-gram counted: 3 predicts a token from the two before it."""
    smoothing: Literal["kneser-ney", "mle", "add-k", "stupid-backoff"] = "kneser-ney"
    """kneser-ney: interpolated, modified; mle: relative frequencies, whose loss on unseen text is infinite; add-k: Lidstone;
    stupid-backoff: the scores of Brants et al. (2007), divided by their sum."""
    k: PositiveFloat = 0.5
    """add-k: what every count gets; 0.5 is the expected likelihood estimate, 1 is Laplace's law."""
    backoff: PositiveFloat = 0.4
    """stupid-backoff: the factor for each token that the context is shortened by."""

    def resolved(self) -> dict[str, Any]:
        """Without the numbers of other smoothings, which change nothing."""
        unused = {"k": "add-k", "backoff": "stupid-backoff"}
        return {key: value for key, value in super().resolved().items() if unused.get(key, self.smoothing) == self.smoothing}


ModelSettings = Annotated[
    TransformerSettings
    | NgramSettings
    | RnnSettings
    | LstmSettings
    | GruSettings
    | RnnSeq2SeqSettings
    | TransformerSeq2SeqSettings
    | BertSettings
    | SkipGramSettings
    | CbowSettings
    | HuggingFaceSettings,
    Field(discriminator="family"),
]
