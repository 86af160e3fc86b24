"""Settings of the recurrent families."""

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from stages.lm.settings import Settings


class RecurrentSettings(Settings):
    """What all recurrent families share."""

    trained_by: ClassVar[Literal["counting", "gradient"]] = "gradient"
    task: ClassVar[Literal["language model"]] = "language model"
    gates: ClassVar[int]
    """How many maps of the input and of the state a layer computes in each step."""

    family: Literal["rnn", "lstm", "gru"]
    layers: PositiveInt
    """Number of recurrent layers, each reading the outputs of the one below."""
    d_model: PositiveInt
    """Width of the embeddings and of every hidden state."""
    context_length: PositiveInt
    """Tokens that one training step sees of each sequence, and so how far the gradient goes back; predictions see all before."""
    carry_state: bool = True
    """Training goes through the text in order and carries the state from step to step; false: windows at random, from zero."""
    recurrent_init: Literal["orthogonal", "normal"] = "orthogonal"
    """W_h at the start, for each gate: gain times a random orthogonal matrix, or entries from N(0, gain^2 / d_model)."""
    recurrent_gain: NonNegativeFloat = 1.0
    """Spectral radius of W_h at the start: exactly if it is orthogonal, about if it is normal."""
    tie_embeddings: bool = False
    """Use the token embeddings as the output layer too."""

    @property
    def learns_from(self) -> Literal["streams", "windows"]:
        """The kind of batches that training takes."""
        return "streams" if self.carry_state else "windows"


class RnnSettings(RecurrentSettings):
    """A recurrent network with tanh units: h' = tanh(W_x x + W_h h + b)."""

    gates: ClassVar[int] = 1

    family: Literal["rnn"]


class LstmSettings(RecurrentSettings):
    """A long short-term memory: a cell of sums beside the hidden state, guarded by three gates."""

    gates: ClassVar[int] = 4

    family: Literal["lstm"]
    forget_bias: float = 1.0
    """Bias of the forget gate at the start: above 0 the cell remembers before it has learned to."""


class GruSettings(RecurrentSettings):
    """A gated recurrent unit: two gates and no cell."""

    gates: ClassVar[int] = 3

    family: Literal["gru"]
