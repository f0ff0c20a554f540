"""Section "Fusion backbone" of the network specification."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def cut(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    """(n, d, h, w, C) → (n·windows, tokens, C)."""
    n, d, h, w, c = x.shape
    wd, wh, ww = window
    x = x.view(n, d // wd, wd, h // wh, wh, w // ww, ww, c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, wd * wh * ww, c)


def put_together(windows: Tensor, window: tuple[int, int, int], size: tuple[int, int, int, int]) -> Tensor:
    """(n·windows, tokens, C) → (n, d, h, w, C)."""
    n, d, h, w = size
    wd, wh, ww = window
    x = windows.view(n, d // wd, h // wh, w // ww, wd, wh, ww, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(n, d, h, w, -1)


def shift_mask(h: int, w: int, window: tuple[int, int, int], shift: tuple[int, int]) -> Tensor:
    """(windows, tokens, tokens): −100 between tokens of different regions of the rolled image, else 0."""
    region = torch.zeros(1, window[0], h, w, 1)
    number = 0
    for rows in (slice(0, -window[1]), slice(-window[1], -shift[0]), slice(-shift[0], None)):
        for columns in (slice(0, -window[2]), slice(-window[2], -shift[1]), slice(-shift[1], None)):
            region[:, :, rows, columns] = number
            number += 1
    regions = cut(region, window).squeeze(-1)
    return torch.where(regions.unsqueeze(1) == regions.unsqueeze(2), 0.0, -100.0)


class ReferenceAttention(nn.Module):
    def __init__(self, *, channels: int, window: tuple[int, int, int], num_heads: int) -> None:
        super().__init__()
        self.window, self.num_heads = window, num_heads
        d, h, w = window
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * d - 1) * (2 * h - 1) * (2 * w - 1), num_heads)
        )
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def relative_position_index(self) -> Tensor:
        """(tokens, tokens) rows of the table, which is ordered by frame, row, column."""
        d, h, w = self.window
        token = torch.cartesian_prod(torch.arange(d), torch.arange(h), torch.arange(w))
        apart = token.unsqueeze(1) - token.unsqueeze(0) + torch.tensor([d - 1, h - 1, w - 1])
        return (apart[..., 0] * (2 * h - 1) + apart[..., 1]) * (2 * w - 1) + apart[..., 2]

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """(n·windows, tokens, C) → the same."""
        b, tokens, c = windows.shape
        qkv = self.qkv(windows).view(b, tokens, 3, self.num_heads, c // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (b, heads, tokens, width) each
        logits = q * (c // self.num_heads) ** -0.5 @ k.transpose(-2, -1)
        logits = logits + self.relative_position_bias_table[self.relative_position_index()].permute(2, 0, 1)
        if mask is not None:
            logits = logits.view(-1, len(mask), self.num_heads, tokens, tokens) + mask.to(logits).unsqueeze(1)
            logits = logits.view(b, self.num_heads, tokens, tokens)
        out = logits.softmax(dim=-1) @ v
        return self.proj(out.transpose(1, 2).reshape(b, tokens, c))


class ReferenceMlp(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class ReferenceBlock(nn.Module):
    def __init__(
        self,
        *,
        channels: int,
        window: tuple[int, int, int],
        num_heads: int,
        shifted: bool,
        mlp_ratio: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window, self.drop_path = window, drop_path
        self.shift = (window[1] // 2, window[2] // 2) if shifted else (0, 0)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = ReferenceAttention(channels=channels, window=window, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = ReferenceMlp(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w, C) → the same."""
        x = x + self.drop(self.attend(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))

    def attend(self, x: Tensor) -> Tensor:
        n, d, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, -w % self.window[2], 0, -h % self.window[1]))
        high, wide = x.shape[2:4]
        mask = None
        if self.shift != (0, 0):
            x = x.roll((-self.shift[0], -self.shift[1]), dims=(2, 3))
            mask = shift_mask(high, wide, self.window, self.shift)
        windows = self.attn(cut(x, self.window), mask)
        x = put_together(windows, self.window, (n, d, high, wide)).roll(self.shift, dims=(2, 3))
        return x[:, :, :h, :w]

    def drop(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        return branch * (torch.rand(len(branch), 1, 1, 1, 1, device=branch.device) < keep) / keep


class _Blocks(nn.Module):
    def __init__(self, blocks: list[ReferenceBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class ReferenceGroup(nn.Module):
    def __init__(self, blocks: list[ReferenceBlock], channels: int, use_checkpoint: bool) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.residual_group = _Blocks(blocks)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w, C) → the same."""
        y = x
        for block in self.residual_group.blocks:
            y = checkpoint(block, y, use_reentrant=False) if self.use_checkpoint else block(y)
        frames = y.permute(0, 1, 4, 2, 3)  # (n, 3, C, h, w)
        convolved = torch.stack([self.conv(frame) for frame in frames.unbind(1)], dim=1)
        return convolved.permute(0, 1, 3, 4, 2) + x


class _PatchEmbed(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)


class ReferenceBackbone(nn.Module):
    """Three frames' features (n, 3, C, h, w) → the middle one's (n, C, h, w)."""

    def __init__(
        self,
        *,
        channels: int,
        depths: list[int],
        num_heads: list[int],
        window: tuple[int, int, int] = (3, 8, 8),
        mlp_ratio: float = 2.0,
        drop_path_rate: float = 0.1,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbed(channels)
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        self.layers = nn.ModuleList()
        for depth, heads in zip(depths, num_heads, strict=True):
            sizes = {'channels': channels, 'window': window, 'num_heads': heads, 'mlp_ratio': mlp_ratio}
            blocks = [ReferenceBlock(**sizes, shifted=i % 2 == 1, drop_path=next(rates)) for i in range(depth)]
            self.layers.append(ReferenceGroup(blocks, channels, use_checkpoint))
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch_embed.norm(x.permute(0, 1, 3, 4, 2))
        for group in self.layers:
            y = group(y)
        y = self.norm(y).permute(0, 1, 4, 2, 3)
        return self.conv_after_body(y[:, 1]) + x[:, 1]
