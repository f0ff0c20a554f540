"""Options of the video encoder; no heavy imports, so that the command line shows them at once."""

from dataclasses import dataclass

from iart.errors import SettingError
from iart.settings_fields import setting

_GROUP = 'video encoder'


@dataclass(frozen=True)
class EncodingOptions:
    """Settings of the encoder; None for a choice that suits the input.

    Args:
        codec: a name of :data:`iart.video.encode.CODECS`, or the name of any encoder of FFmpeg.
        crf: constant quality; smaller is better and larger.
        pix_fmt: pixel format.
        preset: the encoder's own name of a compromise between speed and size.
        lossless: whether to encode without loss.

    Raises:
        SettingError: both ``lossless`` and ``crf``.
    """

    codec: str | None = setting(
        None,
        'h264 (default), hevc, av1, vp9 (default for .webm), ffv1, prores, or any of FFmpeg',
        group=_GROUP,
        metavar='NAME',
    )
    crf: float | None = setting(
        None, 'quality: smaller is better (default 16 for h264)', group=_GROUP, values=float, metavar='N'
    )
    pix_fmt: str | None = setting(None, 'such as yuv420p10le (default: as the input)', group=_GROUP, metavar='NAME')
    preset: str | None = setting(None, 'speed against size (default medium)', group=_GROUP, metavar='NAME')
    lossless: bool = setting(False, 'encode without loss', group=_GROUP)

    def __post_init__(self) -> None:
        if self.lossless and self.crf is not None:
            raise SettingError('crf', f'got {self.crf:g} and lossless, expected one of them')
