"""A small network with the published one's heads and windows, and steps to train it."""

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.archs.builder import build_network

SECTION = {'type': 'IART', 'mid_channels': 8, 'embed_dim': 40, 'depths': [2, 2], 'num_heads': [2, 2]}


class Small:
    """The network with fixed weights, Adam, and a clip of three frames.

    Args:
        device: the device to compute on.
        policy: the network's ``use_checkpoint``.
        width: width of the frames in pixels.
    """

    def __init__(self, device: torch.device, policy: str = 'none', width: int = 48) -> None:
        torch.manual_seed(0)
        self.device = device
        self.network: nn.Module = build_network({**SECTION, 'use_checkpoint': policy, 'drop_path_rate': 0.0}).to(device)
        self.clip = torch.rand(1, 3, 3, 24, width).to(device)
        self.target = torch.rand(1, 3, 3, 96, 4 * width).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=devices.fuses_optimizer(device))
        self.scalers = {p: devices.grad_scaler(device, p) for p in devices.PRECISIONS}

    def restore(self, precision: str) -> Tensor:
        """Return the restored clip, float32, on the CPU."""
        with torch.inference_mode(), devices.autocast(self.device, precision):
            return self.network.eval()(self.clip).float().cpu()

    def step(self, precision: str) -> float:
        """Run a training step and return its loss."""
        scaler = self.scalers[precision]
        self.optimizer.zero_grad(set_to_none=True)
        with devices.autocast(self.device, precision):
            loss = (self.network.train()(self.clip) - self.target).abs().mean()
        scaler.scale(loss).backward()
        scaler.step(self.optimizer)
        scaler.update()
        return float(loss.detach())
