"""The fusion backbone of a propagation pass: three frames' features in, the middle frame's feature out."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from iart.archs.swin import SwinBlock
from iart.ops.windows import WindowLayout, change, enter, leave, window_layout


class _Blocks(nn.Module):
    """Holds a group's blocks under the name that released checkpoints have for it."""

    def __init__(self, blocks: Sequence[SwinBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class ResidualGroup(nn.Module):
    """Swin blocks, plain and shifted in turn, then a 3×3 conv per frame, plus the group's input.

    Args:
        blocks: the Swin blocks.
        channels: width C.
        use_checkpoint: recompute each block in the backward pass instead of keeping what it computed.
    """

    def __init__(self, blocks: Sequence[SwinBlock], *, channels: int, use_checkpoint: bool = False) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.residual_group = _Blocks(blocks)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, layouts: dict[tuple[int, int], WindowLayout], *, middle_only: bool = False) -> Tensor:
        """(n, d, h, w, C) → the same, or (n, 1, h, w, C) of the middle frame."""
        n, d, h, w, c = x.shape
        rows, layout = x.reshape(-1, c), None
        last = len(self.residual_group.blocks) - 1
        for number, block in enumerate(self.blocks()):
            own = layouts[block.shift]
            rows = enter(rows, own) if layout is None else rows if layout is own else change(rows, layout, own)
            layout = own
            rows = self._run(block, rows, own, middle_only and number == last)
        assert layout is not None
        if middle_only:
            x, d = x[:, d // 2 : d // 2 + 1], 1
            rows = rows.index_select(0, layout.to_middle)
        else:
            rows = leave(rows, layout)
        frames = rows.view(n * d, h, w, c).permute(0, 3, 1, 2)
        return self.conv(frames).permute(0, 2, 3, 1).reshape(n, d, h, w, c) + x

    def blocks(self) -> Iterator[SwinBlock]:
        for block in self.residual_group.blocks:
            assert isinstance(block, SwinBlock)
            yield block

    def _run(self, block: SwinBlock, rows: Tensor, layout: WindowLayout, middle_only: bool) -> Tensor:
        if self.use_checkpoint and torch.is_grad_enabled():
            return checkpoint(block, rows, layout, middle_only=middle_only, use_reentrant=False)
        return block(rows, layout, middle_only=middle_only)


class _PatchEmbed(nn.Module):
    """The norm before the first group, under the name that released checkpoints have for it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)


class FusionBackbone(nn.Module):
    """Fuse aligned neighbours and the current frame (network specification: "Fusion backbone").

    Args:
        channels: width C.
        depths: Swin blocks in each residual group.
        num_heads: attention heads of each group.
        window: (frames, height, width); all frames of the input stand in one window.
        mlp_ratio, qkv_bias: see :class:`SwinBlock`.
        drop_path_rate: stochastic depth of the last block; grows linearly from 0 at the first.
        use_checkpoint: recompute blocks in the backward pass.

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
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads):
            raise ValueError(
                f'depths {list(depths)} and num_heads {list(num_heads)} differ in length; wanted one number of heads per group'
            )
        if wrong := [heads for heads in num_heads if channels % heads]:
            raise ValueError(f'num_heads: found {wrong}; wanted divisors of embed_dim {channels}')
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
            self.layers.append(ResidualGroup(blocks, channels=channels, use_checkpoint=use_checkpoint))
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d, C, h, w) features of d frames → (n, C, h, w) feature of the middle one, channels last in memory."""
        n, d, _, h, w = x.shape
        if d != self.window[0]:
            raise ValueError(f'fusion backbone: found {d} frames in {tuple(x.shape)}; wanted {self.window[0]}')
        grid = x.permute(0, 1, 3, 4, 2)
        size, window = (n, d, h, w), self.window[1:]
        shifts = {block.shift for layer in self.layers for block in layer.blocks()}  # type: ignore[operator, union-attr]
        layouts = {shift: window_layout(size, window, shift, x.device) for shift in shifts}
        y = self.patch_embed.norm(grid)
        for number, layer in enumerate(self.layers):
            y = layer(y, layouts, middle_only=number == len(self.layers) - 1)
        middle = self.norm(y[:, -1]).permute(0, 3, 1, 2)
        return self.conv_after_body(middle) + x[:, d // 2]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
