"""Sections "Forward pass" and "Sizes of the published model" of the network specification."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.registry import spynet_class
from reference.alignment import ReferenceAlignment
from reference.backbone import ReferenceBackbone

PASSES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Bilinear flow warp, zeros outside, align_corners true."""
    h, w = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    place_x, place_y = columns.to(flow) + flow[:, 0], rows.to(flow) + flow[:, 1]
    grid = torch.stack([2 * place_x / max(w - 1, 1) - 1, 2 * place_y / max(h - 1, 1) - 1], dim=-1)
    return F.grid_sample(x, grid, mode='bilinear', padding_mode='zeros', align_corners=True)


class ReferenceIART(nn.Module):
    """(n, t, 3, h, w) RGB in [0, 1] → (n, t, 3, 4h, 4w); parameters have the names and shapes of released
    checkpoints."""

    def __init__(
        self,
        *,
        mid_channels: int = 64,
        embed_dim: int = 120,
        depths: list[int] | None = None,
        num_heads: list[int] | None = None,
        drop_path_rate: float = 0.1,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        depths, num_heads = depths or [6, 6, 6], num_heads or [6, 6, 6]
        self.spynet = spynet_class()()
        self.conv_first = nn.Conv2d(3, embed_dim, 3, padding=1)
        self.implicit_warp = ReferenceAlignment(channels=embed_dim, num_heads=num_heads[0])
        self.swin_backbone = nn.ModuleDict()
        for name in PASSES:
            self.swin_backbone[name] = ReferenceBackbone(
                channels=embed_dim,
                depths=depths,
                num_heads=num_heads,
                drop_path_rate=drop_path_rate,
                use_checkpoint=use_checkpoint,
            )
        self.conv_before_upsample = nn.Conv2d(embed_dim, mid_channels, 3, padding=1)
        self.upconv1 = nn.Conv2d(mid_channels, 4 * mid_channels, 3, padding=1)
        self.upconv2 = nn.Conv2d(mid_channels, 256, 3, padding=1)
        self.conv_hr = nn.Conv2d(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, lq: Tensor) -> Tensor:
        features = [self.conv_first(frame) for frame in lq.unbind(1)]
        flows_backward, flows_forward = self.flows(lq)
        for name in PASSES:
            if name.startswith('backward'):
                features = self.run_pass(features[::-1], flows_backward[::-1], name)[::-1]
            else:
                features = self.run_pass(features, flows_forward, name)
        return torch.stack([self.reconstruct(x, frame) for x, frame in zip(features, lq.unbind(1), strict=True)], dim=1)

    def flows(self, lq: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        n, t, _, h, w = lq.shape
        if t == 1:
            return [], []
        start, end = lq[:, :-1].reshape(-1, 3, h, w), lq[:, 1:].reshape(-1, 3, h, w)
        flows_backward = self.spynet(start, end).view(n, t - 1, 2, h, w)
        mirrored = t % 2 == 0 and torch.equal(lq[:, : t // 2], lq[:, t // 2 :].flip(1))
        flows_forward = flows_backward.flip(1) if mirrored else self.spynet(end, start).view(n, t - 1, 2, h, w)
        return list(flows_backward.unbind(1)), list(flows_forward.unbind(1))

    def run_pass(self, features: list[Tensor], flows: list[Tensor], name: str) -> list[Tensor]:
        """One pass, features and flows in its order: ``flows[i - 1]`` leads from its frame i to the one before."""
        align, fuse = self.implicit_warp, self.swin_backbone[name]
        outputs: list[Tensor] = []
        for i, x in enumerate(features):
            if i == 0:
                aligned = [x, x, x]
            else:
                flow1 = flows[i - 1]
                a1, a2 = align(outputs[i - 1], x, flow1), torch.zeros_like(x)
                if i > 1:
                    flow2 = flow1 + warp(flows[i - 2], flow1)
                    a2 = align(outputs[i - 2], x, flow2)
                aligned = [a1, x, a2]
            outputs.append(fuse(torch.stack(aligned, dim=1)))
        return outputs

    def reconstruct(self, x: Tensor, frame: Tensor) -> Tensor:
        x = self.conv_before_upsample(x)
        x = F.leaky_relu(F.pixel_shuffle(self.upconv1(x), 2), 0.1)
        x = F.leaky_relu(F.pixel_shuffle(self.upconv2(x), 2), 0.1)
        x = F.leaky_relu(self.conv_hr(x), 0.1)
        return self.conv_last(x) + F.interpolate(frame, scale_factor=4, mode='bilinear', align_corners=False)
