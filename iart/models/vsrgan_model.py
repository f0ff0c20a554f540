"""Adversarial training: the video model with a discriminator that learns beside the network."""

from collections.abc import Mapping

from torch import Tensor, nn

from iart.data.batch import Batch
from iart.models.vsr_model import VSRModel, summed
from iart.registry import MODEL_REGISTRY, SUFFIX


@MODEL_REGISTRY.register(suffix=SUFFIX)
class VSRGANModel(VSRModel):
    """A network and a discriminator, trained in one forward and one backward pass.

    The generator's loss sees the discriminator's weights as constants, the discriminator's sees the output as a
    constant: their sum has the gradients that training one after the other would give, because the discriminator's step
    uses the output and its own weights from before the generator's step (BasicSR's order). One pass is one graph for
    data parallel training, one loss for the guard and one scale for fp16.

    Args:
        network, losses, fix_flow: see :class:`VSRModel`. Pixel, cleaning and perceptual losses compare with ``gt``.
        discriminator: maps frames (b, 3, h, w) to predictions of any shape.
        gan_loss: called with (prediction, whether it should be real, is_disc=), as BasicSR's ``GANLoss``.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        losses: Mapping[str, nn.Module],
        discriminator: nn.Module,
        gan_loss: nn.Module,
        fix_flow: int = 0,
    ) -> None:
        super().__init__(network=network, losses=losses, fix_flow=fix_flow)
        self.discriminator, self.gan_loss = discriminator, gan_loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Restore a batch, compare it with its ground truth, and let the discriminator judge both.

        Args:
            batch: as for :meth:`VSRModel.forward`; the discriminator's real frames are ``gt_plain`` where the data set
                has it (a chain that sharpens ``gt``), else ``gt``.

        Returns:
            As :meth:`VSRModel.forward`; also ``l_g_gan``, ``l_d_real`` and ``l_d_fake``, which are part of ``loss``.
        """
        output, parts = self._restore(batch)
        fake = output.flatten(0, 1)
        self.discriminator.requires_grad_(False)
        parts['l_g_gan'] = self.gan_loss(self.discriminator(fake), True, is_disc=False)
        self.discriminator.requires_grad_(True)
        real = batch.get('gt_plain', batch['gt']).flatten(0, 1)
        parts['l_d_real'] = self.gan_loss(self.discriminator(real), True, is_disc=True)
        parts['l_d_fake'] = self.gan_loss(self.discriminator(fake.detach()), False, is_disc=True)
        return summed(output, parts)

    def clipped_together(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the network, and those of the discriminator."""
        return [list(self.network.parameters()), list(self.discriminator.parameters())]
