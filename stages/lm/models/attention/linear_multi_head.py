"""Multi-head attention with the kernel of `linear` instead of the softmax."""

from torch import Tensor

from stages.lm.models.attention.caches import OwnCache
from stages.lm.models.attention.linear import Features, LinearState, chunked, empty_state, feature_map, recurrent
from stages.lm.models.attention.multi_head import MultiHeadAttention
from stages.lm.models.attention.pattern import Segments


class LinearAttention(MultiHeadAttention):
    """The projections of `MultiHeadAttention`, between them attention whose weights are phi(q) . phi(k)."""

    def forward(
        self,
        x: Tensor,
        token_positions: Tensor | None = None,
        cache: OwnCache | None = None,
        segments: Segments | None = None,
        reach: int | None = None,  # noqa: ARG002, sums have no positions
    ) -> Tensor:
        """As `MultiHeadAttention.forward`; the cache is a `LinearState`, whatever the number of positions read."""
        group = (self.num_kv_heads, self.num_heads // self.num_kv_heads)
        query = self._features(self._query(x), token_positions, group)  # (..., kv_heads, group, sequence, d_head)
        key = self._features(self._key(x), token_positions, (self.num_kv_heads, 1))  # (..., kv_heads, 1, sequence, d_head)
        value = self._value(x).contiguous().unsqueeze(-3)  # or every chunk would be copied
        if isinstance(cache, LinearState):
            read = recurrent if x.shape[-2] == 1 else chunked
            attended = read(query, key, value, state=cache)
        else:
            apart = Segments(*(part.unsqueeze(-2) for part in segments)) if segments else None  # the same for every group
            attended = self.kernels.linear_attention(query, key, value, self.pattern, apart)
        return self._output(attended.flatten(-4, -3))

    def start(self, batch: int, capacity: int, can_go_back: bool = False) -> LinearState:  # noqa: ARG002, it is the same for any
        """The state of `batch` sequences of which nothing has been read."""
        return empty_state(batch, (self.num_kv_heads, 1), self.d_head, self.k_proj.weight)

    def _features(self, x: Tensor, token_positions: Tensor | None, heads: tuple[int, int]) -> Features:
        """phi of (..., heads, sequence, d_head), turned and not, with the heads in groups."""
        grouped = (*x.shape[:-3], *heads, *x.shape[-2:])
        plain = feature_map(x.contiguous())
        turned = self._turned(plain, token_positions).reshape(grouped)
        plain = plain.reshape(grouped)
        return Features(turned if self.rope else plain, plain)
