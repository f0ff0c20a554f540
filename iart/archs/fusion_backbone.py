"""The fusion backbone of a propagation pass: three frames' features in, the middle frame's feature out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iart.archs.recompute_policy import Policy, recompute
from iart.archs.swin import PreparedBlock, SwinBlock
from iart.ops.windows import WindowLayouts, change, enter, leave, window_layouts


@dataclass(frozen=True)
class Prepared:
    """The inputs of a backbone that are the same for all frames of a pass, computed from sizes and weights."""

    layouts: WindowLayouts
    blocks: tuple[tuple[PreparedBlock, ...], ...]
    """For each block of each group."""
    policy: Policy
    """What the backward pass recomputes."""


class _Blocks(nn.Module):
    """Holder of a group's blocks, so that names match released checkpoints."""

    def __init__(self, blocks: Sequence[SwinBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class ResidualGroup(nn.Module):
    """Swin blocks, alternately plain and shifted, then a 3×3 convolution per frame, plus the group's input.

    Args:
        blocks: the Swin blocks.
        channels: width C.
    """

    def __init__(self, blocks: Sequence[SwinBlock], *, channels: int) -> None:
        super().__init__()
        self.residual_group = _Blocks(blocks)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, prepared: Prepared, group: int, *, middle_only: bool = False) -> Tensor:
        """Transform three frames.

        Args:
            x: (n, d, h, w, C) features.
            prepared: the result of the backbone's ``prepare``.
            group: number of this group in the backbone.
            middle_only: return the middle frame only, (n, 1, h, w, C).
        """
        n, d, h, w, c = x.shape
        rows, blocks = x.reshape(-1, c), list(self.blocks())
        # A plain and a shifted block are recomputed together, which keeps half as many inputs in the same time.
        step, again = (2, True) if prepared.policy == 'blocks' else (len(blocks), False)
        for start in range(0, len(blocks), step):
            run = range(start, min(start + step, len(blocks)))
            rows = recompute(again, self._run, rows, run, prepared, group, middle_only=middle_only)
        layout = prepared.layouts.by_shift[blocks[-1].shift]
        if middle_only:
            x, d = x[:, d // 2 : d // 2 + 1], 1
            rows = rows.index_select(0, layout.to_middle)
        else:
            rows = leave(rows, layout)
        frames = rows.view(n * d, h, w, c).permute(0, 3, 1, 2)
        return self.conv(frames).permute(0, 2, 3, 1).reshape(n, d, h, w, c) + x

    def _run(self, rows: Tensor, numbers: range, prepared: Prepared, group: int, *, middle_only: bool) -> Tensor:
        """Run some blocks on (tokens, C) in the order of the preceding block, or of the grid before the first one."""
        blocks = list(self.blocks())
        before = blocks[numbers.start - 1].shift if numbers.start else None
        for number in numbers:
            shift = blocks[number].shift
            layout = prepared.layouts.by_shift[shift]
            if before is None:
                rows = enter(rows, layout)
            elif before != shift:
                rows = change(rows, prepared.layouts.reorderings[before, shift])
            before = shift
            rows = blocks[number](
                rows,
                layout,
                prepared.blocks[group][number],
                middle_only=middle_only and number == len(blocks) - 1,
                recompute_mlp=prepared.policy == 'mlp',
            )
        return rows

    def blocks(self) -> Iterator[SwinBlock]:
        for block in self.residual_group.blocks:
            assert isinstance(block, SwinBlock)
            yield block


class _PatchEmbed(nn.Module):
    """Holder of the norm before the first group, so that names match released checkpoints."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)


class FusionBackbone(nn.Module):
    """Fuse aligned neighbors and the current frame (network specification: "Fusion backbone").

    Args:
        channels: width C.
        depths: Swin blocks in each residual group.
        num_heads: attention heads of each group.
        window: (frames, height, width) of an attention window, which spans all frames of the input.
        mlp_ratio, qkv_bias: see :class:`SwinBlock`.
        drop_path_rate: rate of stochastic depth at the last block; grows linearly from 0 at the first.

    Raises:
        ValueError: ``depths`` and ``num_heads`` differ in length, or heads do not divide ``channels``.
    """

    def __init__(
        self,
        *,
        channels: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window: tuple[int, int, int],
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads):
            raise ValueError(
                f'depths {list(depths)} and num_heads {list(num_heads)} differ in length, expected one number of '
                'heads per group'
            )
        if wrong := [heads for heads in num_heads if channels % heads]:
            raise ValueError(f'num_heads: got {wrong}, expected divisors of embed_dim {channels}')
        self.window = window
        half = (window[1] // 2, window[2] // 2)
        rates = torch.linspace(0, drop_path_rate, sum(depths)).tolist()
        self.patch_embed = _PatchEmbed(channels)
        self.layers = nn.ModuleList()
        for group, depth in enumerate(depths):
            first = sum(depths[:group])
            blocks = [
                SwinBlock(
                    channels=channels,
                    window=window,
                    num_heads=num_heads[group],
                    shift=half if number % 2 else (0, 0),
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    drop_path=rates[first + number],
                )
                for number in range(depth)
            ]
            self.layers.append(ResidualGroup(blocks, channels=channels))
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.apply(_initialize)

    def layouts(self, size: tuple[int, int, int], device: torch.device) -> WindowLayouts:
        """Return the window layouts for features of size (n, h, w); they do not depend on the weights."""
        n, h, w = size
        shifts = {block.shift for group in self._groups() for block in group.blocks()}
        return window_layouts((n, self.window[0], h, w), self.window[1:], sorted(shifts), device)

    def prepare(self, layouts: WindowLayouts, policy: Policy = 'none') -> Prepared:
        """Return the values that are the same for all inputs of one size, as long as the weights do not change.

        Args:
            layouts: from :meth:`layouts`, of this backbone or one with the same windows.
            policy: what the backward pass recomputes.
        """
        blocks = (
            tuple(block.prepare(layouts.by_shift[block.shift]) for block in group.blocks()) for group in self._groups()
        )
        return Prepared(layouts, tuple(blocks), policy)

    def forward(self, x: Tensor, prepared: Prepared | None = None) -> Tensor:
        """Fuse d frames.

        Args:
            x: (n, d, C, h, w) features.
            prepared: the result of :meth:`prepare`, to share it between inputs of one size.

        Returns:
            (n, C, h, w) feature of the middle frame, channels last in memory.
        """
        n, d, _, h, w = x.shape
        if d != self.window[0]:
            raise ValueError(f'fusion backbone: got {d} frames in {tuple(x.shape)}, expected {self.window[0]}')
        prepared = prepared or self.prepare(self.layouts((n, h, w), x.device))
        return recompute(prepared.policy == 'backbones', self._fuse, x, prepared)

    def compile_fusion(self, **arguments: Any) -> None:
        """Compile the fusion of one input; arguments as for :func:`torch.compile`."""
        self._fuse = torch.compile(self._fuse, **arguments)  # type: ignore[method-assign]

    def _fuse(self, x: Tensor, prepared: Prepared) -> Tensor:
        y = self.patch_embed.norm(x.permute(0, 1, 3, 4, 2))
        last = len(self.layers) - 1
        for number, group in enumerate(self._groups()):
            y = group(y, prepared, number, middle_only=number == last)
        middle = self.norm(y[:, -1]).permute(0, 3, 1, 2)
        return self.conv_after_body(middle) + x[:, x.shape[1] // 2]

    def _groups(self) -> Iterator[ResidualGroup]:
        for group in self.layers:
            assert isinstance(group, ResidualGroup)
            yield group


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
