"""No alignment: the neighbor's feature is used as it is."""

from torch import Tensor, nn

from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class NoAlignment(nn.Module):
    """Return the source unchanged: ``aligned(p) = source(p)``. No parameters; the flow is not used.

    The baseline of a comparison of alignments; the paper gives no figure for it.

    Args:
        channels, num_heads: passed to every alignment; no effect here.
    """

    trains_flow = False

    def __init__(self, *, channels: int, num_heads: int) -> None:
        super().__init__()

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """Return the (n, c, h, w) source."""
        return source
