"""Tokens of a frame triple listed window by window, plain and shifted.

A Swin block is pointwise except for its attention, so the tokens of the residual stream may be in any order. They
stay in the order of the windows and are reordered from one block's windows to the next block's: one gather per
block, where rolling, partitioning, reversing the partition and rolling back would take four copies.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

MASKED = -100.0  # added to the logit of two tokens that are neighbors only because the image was rolled


@dataclass(frozen=True)
class Reordering:
    """A permutation of rows and its inverse, (rows,) int64 each: ``new[i] = old[forward[i]]``."""

    forward: Tensor
    inverse: Tensor


@dataclass(frozen=True)
class WindowGroup:
    """A run of consecutive windows with the same mask."""

    start: int
    stop: int
    mask: Tensor | None
    """(tokens, tokens) float32, 0 or MASKED; None for windows that the image border does not cross."""


@dataclass(frozen=True)
class WindowLayout:
    """The order of the tokens of an (n, d, h, w) grid when they are listed window by window.

    h and w are padded at the bottom and right to whole windows: "tokens" counts the padding, "rows" does not.
    Windows at the border come last, by kind, so that those inside the image need no mask. All index tensors are int64.
    """

    order: Tensor
    """(tokens,) position of each token in the padded grid."""
    place: Tensor
    """(tokens,) inverse of ``order``: where each position of the padded grid is listed."""
    from_grid: Tensor
    """(tokens,) row of the (n·d·h·w, c) grid that each token comes from; padding names row 0 and must be
    overwritten.
    """
    to_grid: Tensor
    """(n·d·h·w,) token of each row of the grid."""
    to_middle: Tensor
    """(n·h·w,) the same for the middle frame, among the tokens of the middle frame alone."""
    sample: Tensor
    """(tokens,) which of the n clips a token belongs to."""
    padding: Tensor | None
    """(padding tokens,) which tokens are padding; None without padding."""
    window: tuple[int, int, int]
    clips: int
    """n: number of clips."""
    groups: tuple[WindowGroup, ...]

    @property
    def tokens(self) -> int:
        """Number of tokens in a window."""
        d, h, w = self.window
        return d * h * w

    @property
    def middle(self) -> slice:
        """Tokens of the middle frame within a window."""
        d, h, w = self.window
        return slice(d // 2 * h * w, (d // 2 + 1) * h * w)


def window_layout(
    size: tuple[int, int, int, int], window: tuple[int, int], shift: tuple[int, int], device: torch.device
) -> WindowLayout:
    """Partition a grid into windows that span all its frames.

    Args:
        size: (n, d, h, w) of the grid, n·d·h·w rows.
        window: height and width of a window.
        shift: rows and columns by which the windows are shifted; (0, 0) for plain windows.
        device: where the index tensors are created.
    """
    n, d, h, w = size
    wh, ww = window
    # Rounded up without negative numbers, which the runtimes of exported graphs divide in another way.
    high, wide = (h + wh - 1) // wh * wh, (w + ww - 1) // ww * ww
    grid = torch.arange(n * d * high * wide, device=device).view(n, d, high, wide)
    rolled = grid.roll((-shift[0], -shift[1]), dims=(2, 3))
    # (n, rows of windows, columns of windows, tokens), tokens ordered by frame, row, column
    windows = rolled.view(n, d, high // wh, wh, wide // ww, ww).permute(0, 2, 4, 1, 3, 5).flatten(3)
    pieces, groups = _group(windows, (d, wh, ww), shift)
    order = torch.cat(pieces)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(order.shape[0], device=device))

    # Tensors of positions, without divisions by the size: this also runs where a graph takes frames of any size.
    positions = torch.arange(n * d, device=device).view(-1, 1, 1) * (high * wide)
    positions = positions + torch.arange(h, device=device).view(-1, 1) * wide + torch.arange(w, device=device)
    to_grid = place.index_select(0, positions.view(-1))
    from_grid = torch.zeros_like(order).scatter_(0, to_grid, torch.arange(n * d * h * w, device=device))
    sample = torch.arange(n, device=device).view(n, 1, 1).expand(n, d, high * wide).reshape(-1).index_select(0, order)
    # A window lists its frames one after another, so the middle frame's tokens are a run in each window. Listed
    # without the other frames, token t of window v is number v · (tokens of a frame) + (t − tokens of the frames
    # before the middle one).
    tokens, middle = d * wh * ww, wh * ww
    of_middle = to_grid.view(n, d, h * w)[:, d // 2]
    among_middle = of_middle // tokens * middle + of_middle % tokens - d // 2 * middle
    return WindowLayout(
        order=order,
        place=place,
        from_grid=from_grid,
        to_grid=to_grid,
        to_middle=among_middle.reshape(-1),
        sample=sample,
        padding=_padding(place.view(n, d, high, wide), h, w),
        window=(d, wh, ww),
        clips=n,
        groups=groups,
    )


@dataclass(frozen=True)
class WindowLayouts:
    """The layouts of one grid for every shift of its windows, and the ways between them: the same for all frames and
    all passes.
    """

    by_shift: dict[tuple[int, int], WindowLayout]
    reorderings: dict[tuple[tuple[int, int], tuple[int, int]], Reordering]
    """By the shifts before and after."""


def window_layouts(
    size: tuple[int, int, int, int], window: tuple[int, int], shifts: Iterable[tuple[int, int]], device: torch.device
) -> WindowLayouts:
    """Return the layouts of an (n, d, h, w) grid for several shifts; see :func:`window_layout`."""
    layouts = {shift: window_layout(size, window, shift, device) for shift in shifts}
    pairs = [(old, new) for old in layouts for new in layouts if old != new]
    return WindowLayouts(layouts, {(old, new): reordering(layouts[old], layouts[new]) for old, new in pairs})


def _padding(place: Tensor, h: int, w: int) -> Tensor | None:
    """Return the tokens below row h and right of column w, from the (n, d, high, wide) place of each position; None
    without padding. Counted without asking the device.
    """
    high, wide = place.shape[-2:]
    # The numbers of a graph for any size are symbols, which cannot be compared: there the list may be empty.
    if not isinstance(high, torch.SymInt) and not isinstance(wide, torch.SymInt) and (high, wide) == (h, w):
        return None
    return torch.cat((place[:, :, h:].reshape(-1), place[:, :, :h, w:].reshape(-1)))


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
    """Mask of a window whose ``shift[0]`` last rows and ``shift[1]`` last columns come from the opposite side of the
    image.
    """
    d, h, w = window
    wrapped_row = torch.arange(h, device=device) >= h - shift[0]
    wrapped_column = torch.arange(w, device=device) >= w - shift[1]
    region = (2 * wrapped_row.long().view(h, 1) + wrapped_column.long()).expand(d, h, w).reshape(-1)
    return torch.where(region.unsqueeze(0) == region.unsqueeze(1), 0.0, MASKED)


def relative_position_index(window: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
    """Return (tokens, tokens) rows of the bias table for pairs of tokens; the table's order is frame, row, column."""
    axes = torch.meshgrid(*(torch.arange(s, device=device) for s in window), indexing='ij')
    token = torch.stack(axes).flatten(1)
    apart = token.unsqueeze(2) - token.unsqueeze(1)
    d, h, w = (apart[i] + window[i] - 1 for i in range(3))
    return (d * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


class _Reorder(torch.autograd.Function):
    """A permutation of rows. Its gradient is the inverse permutation, where autograd would scatter and add."""

    @staticmethod
    def forward(ctx, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (inverse,) = ctx.saved_tensors
        return gradient.index_select(0, inverse), None, None


def enter(rows: Tensor, layout: WindowLayout) -> Tensor:
    """Reorder (n·d·h·w, c) rows of the grid to (tokens, c) of a layout; the inverse of :func:`leave`.

    Tokens of padding are copies of the first row; no gradient flows back through them.
    """
    return _Reorder.apply(rows, layout.from_grid, layout.to_grid)


def reordering(old: WindowLayout, new: WindowLayout) -> Reordering:
    """Return how :func:`change` gets from one layout's order to another's."""
    return Reordering(old.place[new.order], new.place[old.order])


def change(rows: Tensor, how: Reordering) -> Tensor:
    """Reorder (tokens, c) from one layout to another."""
    return _Reorder.apply(rows, how.forward, how.inverse)


def leave(rows: Tensor, layout: WindowLayout) -> Tensor:
    """Reorder (tokens, c) of a layout to (n·d·h·w, c) rows of the grid, without the padding."""
    if layout.padding is None:
        return _Reorder.apply(rows, layout.to_grid, layout.from_grid)
    return rows.index_select(0, layout.to_grid)
