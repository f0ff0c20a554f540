"""Make docs/images/teaser.png: a detail of the bundled clip as LR, bicubic, restored by the shipped network, and GT.

    python scripts/make_teaser.py [--frame 48] [--out docs/images/teaser.png]

The frames of the film are GT; LR is BI of them. Nine frames are restored, the middle one is shown. It takes less than a
minute on a CPU.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import iart
from iart.demo.bundled_clip import CLIP, ROOT, film_frames
from iart.image import Frame, to_tensor, to_uint8
from iart.metrics.psnr_ssim_metric import calculate_psnr, calculate_ssim
from iart.ops.degradation import degrade_uint8, upsample_bicubic
from iart.reporting.comparison import enlarge, find_detail

_REACH = 4  # frames before and after the one shown
_PANEL = 128, 144  # height and width of the detail, in GT pixels
_ENLARGED = 2  # so that its pixels can be seen
_GAP, _CAPTION, _FONT = 6, 44, 22
_MARK = '#ff3b30'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frame', type=int, default=48, help='frame of the film that is shown')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'images' / 'teaser.png')
    arguments = parser.parse_args()
    first = arguments.frame - _REACH
    gt = list(film_frames(CLIP, arguments.frame + _REACH + 1))[first:]
    lq = [degrade_uint8(frame, 'BI') for frame in gt]
    restored = list(iart.upscale(lq, device='cpu'))[_REACH]
    truth = gt[_REACH]
    columns: dict[str, Frame] = {
        'LR (input)': enlarge(lq[_REACH], truth.shape[:2]),
        'bicubic': to_uint8(upsample_bicubic(to_tensor(lq[_REACH]))),
        'iart-small': restored,
        'GT': truth,
    }
    captions = {name: name for name in columns}
    for name in ('bicubic', 'iart-small'):
        psnr, ssim = scores(columns[name], truth)
        captions[name] = f'{name}   {psnr:.2f} dB'
        print(f'frame {arguments.frame}: {captions[name]}, SSIM {ssim:.4f}')
    draw({captions[name]: frame for name, frame in columns.items()}, arguments.out, whole=restored)
    print(f'{arguments.out}: {arguments.out.stat().st_size:,} bytes')


def scores(frame: Frame, truth: Frame) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of a frame, on Y."""
    bgr, true_bgr = frame[..., ::-1], truth[..., ::-1]
    return (
        float(calculate_psnr(bgr, true_bgr, crop_border=0, test_y_channel=True)),
        float(calculate_ssim(bgr, true_bgr, crop_border=0, test_y_channel=True)),
    )


def draw(columns: dict[str, Frame], out: Path, whole: Frame | None = None) -> None:
    """Write one picture: the same detail of every (h, w, 3) frame, side by side, each with its caption.

    Args:
        columns: caption and frame, left to right; all frames have one size.
        out: PNG to write.
        whole: a frame that is shown first, as a whole, with the detail marked.
    """
    top, left, h, w = find_detail(list(columns.values()))
    shape = next(iter(columns.values())).shape
    height, width = min(_PANEL[0], shape[0]), min(_PANEL[1], shape[1])
    top = int(np.clip(top + h // 2 - height // 2, 0, shape[0] - height))
    left = int(np.clip(left + w // 2 - width // 2, 0, shape[1] - width))
    wide, high = width * _ENLARGED, height * _ENLARGED
    first = 0 if whole is None else round(high * shape[1] / shape[0]) + _GAP
    picture = Image.new('RGB', (first + len(columns) * (wide + _GAP) - _GAP, high + _CAPTION), 'white')
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=_FONT)
    if whole is not None:
        picture.paste(Image.fromarray(whole).resize((first - _GAP, high), Image.Resampling.LANCZOS), (0, 0))
        x, y, right, bottom = (v * high // shape[0] for v in (left, top, left + width, top + height))
        pen.rectangle((x, y, right, bottom), outline=_MARK, width=3)
        pen.text(((first - _GAP) // 2, high + _CAPTION // 2), 'restored', fill='black', font=font, anchor='mm')
    for k, (caption, frame) in enumerate(columns.items()):
        x = first + k * (wide + _GAP)
        detail = Image.fromarray(np.ascontiguousarray(frame[top : top + height, left : left + width]))
        picture.paste(detail.resize((wide, high), Image.Resampling.NEAREST), (x, 0))
        pen.text((x + wide // 2, high + _CAPTION // 2), caption, fill='black', font=font, anchor='mm')
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, optimize=True)


if __name__ == '__main__':
    main()
