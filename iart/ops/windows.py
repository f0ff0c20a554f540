"""Tokens of a frame triple listed window by window, plain and shifted.

A Swin block is pointwise but for its attention, so the residual stream may stand in any order. It is kept in
the order of the windows and changed from one block's order to the next's: one gather a block, where rolling,
cutting and putting together again would take four.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MASKED = -100.0  # added to the logit between tokens that only the shift has brought together


@dataclass(frozen=True)
class WindowGroup:
    """A run of windows that share a mask."""

    start: int
    stop: int
    mask: Tensor | None
    """(tokens, tokens), 0 or MASKED; None for windows that the image border does not cross."""


@dataclass(frozen=True)
class WindowLayout:
    """The order of the tokens of an (n, d, h, w) grid when they are listed window by window.

    h and w are padded at the bottom and right to whole windows. Border windows come last, by kind, so that
    the windows inside the image need no mask.
    """

    order: Tensor
    """(tokens,) place of each token in the padded grid."""
    place: Tensor
    """(tokens,) inverse of ``order``."""
    from_grid: Tensor
    """(tokens,) row of the (n·d·h·w, c) grid that each token is; padding names row 0 and must be masked."""
    to_grid: Tensor
    """(n·d·h·w,) token that each row of the grid is."""
    to_middle: Tensor
    """(n·h·w,) the same for the middle frame, among the tokens of the middle frame alone."""
    sample: Tensor
    """(tokens,) which of the n clips a token belongs to."""
    inside: Tensor | None
    """(tokens, 1) 1 for tokens of the image, 0 for padding; None without padding."""
    window: tuple[int, int, int]
    groups: tuple[WindowGroup, ...]

    @property
    def tokens(self) -> int:
        """Tokens in a window."""
        d, h, w = self.window
        return d * h * w

    @property
    def middle(self) -> slice:
        """Where the tokens of the middle frame stand in a window."""
        d, h, w = self.window
        return slice(d // 2 * h * w, (d // 2 + 1) * h * w)


def window_layout(
    size: tuple[int, int, int, int], window: tuple[int, int], shift: tuple[int, int], device: torch.device
) -> WindowLayout:
    """Lay out a grid in windows that span all its frames.

    Args:
        size: (n, d, h, w) of the grid; n·d·h·w rows.
        window: height and width of a window.
        shift: rows and columns by which the windows are moved; (0, 0) for plain windows.
    """
    n, d, h, w = size
    wh, ww = window
    high, wide = -(-h // wh) * wh, -(-w // ww) * ww
    grid = torch.arange(n * d * high * wide, device=device).view(n, d, high, wide)
    rolled = grid.roll((-shift[0], -shift[1]), dims=(2, 3))
    windows = rolled.view(n, d, high // wh, wh, wide // ww, ww).permute(0, 2, 4, 1, 3, 5).flatten(3)
    pieces, groups = _group(windows, (d, wh, ww), shift)
    order = torch.cat(pieces)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=device))

    row, column = order // wide % high, order % wide
    frame, sample = order // (wide * high) % d, order // (wide * high * d)
    inside = (row < h) & (column < w)
    from_grid = torch.where(inside, ((sample * d + frame) * h + row) * w + column, 0)
    to_grid = place.view(n, d, high, wide)[:, :, :h, :w]
    tokens, middle = d * wh * ww, wh * ww
    among_middle = to_grid[:, d // 2] // tokens * middle + to_grid[:, d // 2] % tokens - d // 2 * middle
    return WindowLayout(
        order=order,
        place=place,
        from_grid=from_grid,
        to_grid=to_grid.reshape(-1),
        to_middle=among_middle.reshape(-1),
        sample=sample,
        inside=None if (high, wide) == (h, w) else inside.unsqueeze(1).float(),
        window=(d, wh, ww),
        groups=groups,
    )


def _group(
    windows: Tensor, window: tuple[int, int, int], shift: tuple[int, int]
) -> tuple[list[Tensor], tuple[WindowGroup, ...]]:
    """Sort (n, rows, columns, tokens) windows by the mask they need: none, right edge, bottom edge, corner."""
    rows = slice(0, -1) if shift[0] else slice(None)
    columns = slice(0, -1) if shift[1] else slice(None)
    kinds = [(windows[:, rows, columns], False, False)]
    if shift[1]:
        kinds.append((windows[:, rows, -1:], False, True))
    if shift[0]:
        kinds.append((windows[:, -1:, columns], True, False))
    if shift[0] and shift[1]:
        kinds.append((windows[:, -1:, -1:], True, True))
    pieces, groups, start = [], [], 0
    for piece, bottom, right in kinds:
        count = piece.shape[0] * piece.shape[1] * piece.shape[2]
        if count:
            mask = (
                _mask(window, (shift[0] if bottom else 0, shift[1] if right else 0), windows.device)
                if bottom or right
                else None
            )
            pieces.append(piece.reshape(-1))
            groups.append(WindowGroup(start, start + count, mask))
            start += count
    return pieces, tuple(groups)


def _mask(window: tuple[int, int, int], shift: tuple[int, int], device: torch.device) -> Tensor:
    """Mask of a window at whose ``shift[0]`` last rows and ``shift[1]`` last columns the image starts anew."""
    d, h, w = window
    wrapped_row = torch.arange(h, device=device) >= h - shift[0]
    wrapped_column = torch.arange(w, device=device) >= w - shift[1]
    region = (2 * wrapped_row.long().view(h, 1) + wrapped_column.long()).expand(d, h, w).reshape(-1)
    return torch.where(region.unsqueeze(0) == region.unsqueeze(1), 0.0, MASKED)


def relative_position_index(window: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
    """(tokens, tokens) row of the bias table for each pair of tokens; table order is frame, row, column."""
    axes = torch.meshgrid(*(torch.arange(s, device=device) for s in window), indexing='ij')
    token = torch.stack(axes).flatten(1)
    apart = token.unsqueeze(2) - token.unsqueeze(1)
    d, h, w = (apart[i] + window[i] - 1 for i in range(3))
    return (d * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


class _Rearrange(torch.autograd.Function):
    """A permutation of rows whose gradient is the inverse permutation, where autograd would scatter and add."""

    @staticmethod
    def forward(ctx, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (inverse,) = ctx.saved_tensors
        return gradient.index_select(0, inverse), None, None


def enter(rows: Tensor, layout: WindowLayout) -> Tensor:
    """(n·d·h·w, c) rows of the grid → (tokens, c) in the layout's order; inverse of :func:`leave`.

    The rows of padding are copies of the first row; no gradient may come back through them.
    """
    return _Rearrange.apply(rows, layout.from_grid, layout.to_grid)


def change(rows: Tensor, old: WindowLayout, new: WindowLayout) -> Tensor:
    """(tokens, c) from one layout's order to another's."""
    return _Rearrange.apply(rows, old.place[new.order], new.place[old.order])


def leave(rows: Tensor, layout: WindowLayout) -> Tensor:
    """(tokens, c) in the layout's order → (n·d·h·w, c) rows of the grid, padding cut off."""
    if layout.inside is None:
        return _Rearrange.apply(rows, layout.to_grid, layout.from_grid)
    return rows.index_select(0, layout.to_grid)
