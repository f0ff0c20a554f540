"""What can be asked of a video encoder; no heavy imports, so that the command line can show it at once."""

from dataclasses import dataclass

from iart.errors import UserError


@dataclass(frozen=True)
class EncodingOptions:
    """How to encode; None: what suits the input.

    Args:
        codec: a name of :data:`iart.video.encode.CODECS`, or an encoder of FFmpeg's.
        crf: constant quality; smaller is better and larger.
        pix_fmt: pixel format.
        preset: the encoder's own name of a compromise between speed and size.
        lossless: encode without loss.

    Raises:
        UserError: both ``lossless`` and ``crf``.
    """

    codec: str | None = None
    crf: float | None = None
    pix_fmt: str | None = None
    preset: str | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.lossless and self.crf is not None:
            raise UserError('--lossless and --crf: got both, expected one of them')
