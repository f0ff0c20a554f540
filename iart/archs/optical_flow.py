"""Sources of a network's flow: the types that ``network_g.flow`` can name.

Each is a module that takes (b, 3, h, w) frames (from, to), RGB in [0, 1], and returns the (b, 2, h, w) flow between
them in pixels.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import optical_flow as raft_models

from iart.archs.flow import build_spynet
from iart.errors import DataError, OptionsError, WeightsError
from iart.registry import FLOW_REGISTRY, SUFFIX
from iart.weights import load_weights

_RAFT = {'large': 'Raft_Large_Weights', 'small': 'Raft_Small_Weights'}
_RAFT_SMALLEST = 128  # its correlation pyramid needs 16 positions of 8 pixels


@FLOW_REGISTRY.register(suffix=SUFFIX)
def spynet(*, path: str | None = None) -> nn.Module:
    """SPyNet, trained with the network unless ``train.fix_flow`` freezes it.

    Args:
        path: weight file; None for zero flow at the start.
    """
    return build_spynet(path)


@FLOW_REGISTRY.register(suffix=SUFFIX)
def zero() -> nn.Module:
    """Zero flow: alignments read their source in place."""
    return ZeroFlow()


@FLOW_REGISTRY.register(suffix=SUFFIX)
def gt() -> nn.Module:
    """The flow that the data set delivers with the frames, such as the exact one of rendered clips."""
    return GivenFlow()


@FLOW_REGISTRY.register(suffix=SUFFIX)
def raft(*, size: str = 'large', path: str | None = None, updates: int = 12) -> nn.Module:
    """Build torchvision's RAFT (Teed and Deng, ECCV 2020) for LR frames; it is never trained.

    Args:
        size: ``large`` or ``small``.
        path: weight file; default the file that torchvision downloads.
        updates: refinement steps.

    Raises:
        OptionsError: ``size`` or ``updates`` is out of range.
        WeightsError: the weights are not on this machine, or do not fit.
    """
    if size not in _RAFT or updates < 1:
        raise OptionsError(
            f'network_g.flow: got size {size!r} and updates {updates}, expected size large or small and updates '
            'from 1 up'
        )
    if path is None:
        name = getattr(raft_models, _RAFT[size]).DEFAULT.url.rsplit('/', 1)[-1]
        path = str(Path(torch.hub.get_dir()) / 'checkpoints' / name)
        if not Path(path).is_file():
            raise WeightsError(
                f'network_g.flow: RAFT needs {path}, which does not exist; torchvision fetches it with  python -c '
                f'"from torchvision.models.optical_flow import *; raft_{size}(weights=\'DEFAULT\')"  '
                'where there is a network, or name the file with network_g.flow.path'
            )
    network = getattr(raft_models, f'raft_{size}')(weights=None)
    load_weights(network, path)
    return RaftFlow(network, updates)


class ZeroFlow(nn.Module):
    """Zero flow for any frames."""

    def forward(self, start: Tensor, end: Tensor) -> Tensor:
        """Return (b, 2, h, w) zeros for (b, 3, h, w) frames."""
        return start.new_zeros(start.shape[0], 2, *start.shape[-2:])


class GivenFlow(nn.Module):
    """Placeholder for an estimator when the flow comes with the frames; being called means that none came."""

    comes_with_clip = True

    def forward(self, start: Tensor, end: Tensor) -> Tensor:
        """Raise, since the flow should have come with the frames.

        Raises:
            DataError: always.
        """
        raise DataError(
            'network_g.flow: got type gt and frames without flow, expected a data set that has it '
            '(SyntheticFlowDataset, SintelDataset and their test sets), or another type (spynet, zero, raft)'
        )


class RaftFlow(nn.Module):
    """RAFT on frames of any size; its weights and statistics are never changed.

    Args:
        network: torchvision's RAFT.
        updates: refinement steps.
    """

    def __init__(self, network: nn.Module, updates: int) -> None:
        super().__init__()
        self.network, self.updates = network.eval().requires_grad_(False), updates

    def train(self, mode: bool = True) -> 'RaftFlow':
        """Stay in evaluation mode: the statistics of its normalization are part of the loaded weights."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the (b, 2, h, w) flow between (b, 3, h, w) frames in [0, 1]."""
        h, w = start.shape[-2:]
        high, wide = (max(-(-side // 8) * 8, _RAFT_SMALLEST) for side in (h, w))
        frames = [F.pad(2 * x - 1, (0, wide - w, 0, high - h), mode='replicate') for x in (start, end)]
        return self.network(*frames, num_flow_updates=self.updates)[-1][..., :h, :w]
