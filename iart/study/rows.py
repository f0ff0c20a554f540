"""The rows of the paper's tables 1, 3 and 4, and what the paper reports for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

TableName = Literal['alignments', 'codes', 'windows', 'ours']
FlowName = Literal['gt', 'raft', 'spynet', 'zero']

_WARP, _IMPLICIT = 'FlowWarpAlignment', 'ImplicitAlignment'


class Figure(NamedTuple):
    """A published figure."""

    psnr: float
    ssim: float | None = None
    doubtful: bool = False
    """The cell is merged or hard to read in the copy of the paper that the figure was taken from."""


@dataclass(frozen=True)
class Row:
    """One alignment that is compared with the others.

    Args:
        label: name in tables and charts.
        alignment: the ``alignment`` section of the network.
        network: further keys of ``network_g``.
        ours: whether the row is not in the paper.
    """

    label: str
    alignment: Mapping[str, Any]
    network: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False


ROWS: dict[str, Row] = {
    'single': Row('no neighbor', {'type': 'NoAlignment'}, {'use_neighbor': False}, ours=True),
    'none': Row('no alignment', {'type': 'NoAlignment'}, ours=True),
    'nearest': Row('warp, nearest', {'type': _WARP, 'resampling': 'nearest'}),
    'bilinear': Row('warp, bilinear', {'type': _WARP, 'resampling': 'bilinear'}),
    'bicubic': Row('warp, bicubic', {'type': _WARP, 'resampling': 'bicubic'}),
    'patch': Row('patch', {'type': 'PatchAlignment'}),
    'fgdc': Row('deformable convolution', {'type': 'DeformableConvAlignment'}),
    'fgda': Row('deformable attention', {'type': 'DeformableAttentionAlignment'}),
    'implicit': Row('implicit', {'type': _IMPLICIT}),
    'nearest4': Row('four nearest, mixed', {'type': 'Nearest4Alignment'}, ours=True),
    'residual': Row('implicit, bilinear residual', {'type': _IMPLICIT, 'residual': 'bilinear'}, ours=True),
    'code_none': Row('no code', {'type': _IMPLICIT, 'codes': 'none'}),
    'code_offset': Row('offset code only', {'type': _IMPLICIT, 'codes': 'offset'}),
    'code_window': Row('window code only', {'type': _IMPLICIT, 'codes': 'window'}),
    'window_3': Row('window 3×3', {'type': _IMPLICIT, 'window': 3}),
    'window_4': Row('window 4×4', {'type': _IMPLICIT, 'window': 4}),
    'image_nearest': Row('image, nearest', {'type': _WARP, 'resampling': 'nearest'}, {'domain': 'image'}),
    'image_bilinear': Row('image, bilinear', {'type': _WARP, 'resampling': 'bilinear'}, {'domain': 'image'}),
}

TABLES: dict[TableName, tuple[str, tuple[str, ...]]] = {
    'alignments': (
        'Table 1: alignments',
        ('none', 'nearest', 'bilinear', 'bicubic', 'patch', 'fgdc', 'fgda', 'implicit'),
    ),
    'codes': ('Table 3: position codes', ('code_none', 'code_offset', 'code_window', 'implicit')),
    'windows': ('Table 4: windows', ('implicit', 'window_3', 'window_4')),
    'ours': ('Beyond the paper', ('single', 'nearest4', 'residual', 'image_nearest', 'image_bilinear')),
}
"""Title and rows of each table; a row that is in several tables is trained once."""

BASELINE = 'bilinear'
"""The row that others are compared with, seed by seed."""

_PAPER: dict[tuple[str, str, str], Figure] = {
    ('alignments', 'nearest', 'gt'): Figure(31.84),
    ('alignments', 'nearest', 'raft'): Figure(31.87, doubtful=True),
    ('alignments', 'bilinear', 'gt'): Figure(31.92),
    ('alignments', 'bilinear', 'raft'): Figure(31.87),
    ('alignments', 'bicubic', 'gt'): Figure(31.93),
    ('alignments', 'bicubic', 'raft'): Figure(31.90),
    ('alignments', 'fgdc', 'gt'): Figure(32.08),
    ('alignments', 'fgdc', 'raft'): Figure(31.99),
    ('alignments', 'fgdc', 'spynet'): Figure(31.98),
    ('alignments', 'fgda', 'gt'): Figure(32.03),
    ('alignments', 'fgda', 'raft'): Figure(31.91),
    ('alignments', 'fgda', 'spynet'): Figure(31.94),
    ('alignments', 'patch', 'gt'): Figure(31.81),
    ('alignments', 'patch', 'raft'): Figure(31.85),
    ('alignments', 'patch', 'spynet'): Figure(31.82),
    ('alignments', 'implicit', 'gt'): Figure(32.14),
    ('alignments', 'implicit', 'raft'): Figure(32.03),
    ('alignments', 'implicit', 'spynet'): Figure(32.05),
    # Data and flow of table 3 are not named; its level is that of a small model on REDS.
    ('codes', 'code_none', 'gt'): Figure(30.43, 0.8700),
    ('codes', 'code_offset', 'gt'): Figure(28.71, 0.8184),
    ('codes', 'code_window', 'gt'): Figure(30.54, 0.8730),
    ('codes', 'implicit', 'gt'): Figure(30.71, 0.8776),
    ('windows', 'implicit', 'gt'): Figure(32.06, 0.9024),
    ('windows', 'window_3', 'gt'): Figure(32.06, 0.9021),
    ('windows', 'window_4', 'gt'): Figure(32.05, 0.9019),
    ('windows', 'implicit', 'spynet'): Figure(31.97, 0.9004),
    ('windows', 'window_3', 'spynet'): Figure(31.95, 0.9005),
    ('windows', 'window_4', 'spynet'): Figure(31.96, 0.9005),
}

PAPER_PARAMETERS = {'nearest': 1.35, 'bilinear': 1.35, 'bicubic': 1.35, 'patch': 1.35} | {
    'fgdc': 1.60,
    'fgda': 1.56,
    'implicit': 1.36,
}
"""Millions, dead weights of the released code included."""


def published(table: str, row: str, flow: str) -> Figure | None:
    """Return the paper's figure for a row with a flow in one of its tables; None where it has none."""
    return _PAPER.get((table, row, flow))
