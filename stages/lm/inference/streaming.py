"""Text as it is written: whole characters, and nothing that might have to be taken back."""

import codecs
from collections.abc import Iterable, Iterator, Mapping

from stages.lm.inference.generation import Token
from stages.lm.inference.stopping import Stop


def text_of(tokens: Iterable[Token], vocab: Mapping[int, bytes], stop: Stop) -> Iterator[str]:
    """The text of one request, piece by piece; vocab: the bytes of every token.

    Bytes that may turn out to begin a piece that ends the text are held back, as are those of an unfinished character.
    """
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    held, back = b"", max(map(len, stop.pieces), default=1) - 1
    for token in tokens:
        if token.stop_reason not in ("end of text", "stop id"):
            held += vocab[token.id]
        if token.stop_reason is None:
            ready = max(0, len(held) - back)
            yield decode(held[:ready])
            held = held[ready:]
    yield decode(stop.cut(held), final=True)
