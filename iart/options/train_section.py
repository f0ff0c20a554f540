"""The `train` section: optimizer, schedule, losses and what is frozen when."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from iart.options.base import Component, Names, Naturals, Positive, Positives, Section, Weights, Whole


class CosineAnnealingRestartLR(Section):
    """Cosine from the base rate down to `eta_min` within each period."""

    type: Literal['CosineAnnealingRestartLR']
    """Name of the schedule."""
    periods: Positives
    """Length of each cosine in iterations; together they must cover `total_iter`."""
    restart_weights: Weights = (1.0,)
    """Factor on the base rate at the start of each period; as many as periods."""
    eta_min: Annotated[float, Field(ge=0)] = 0.0
    """Rate at the end of each period."""


class MultiStepLR(Section):
    """The rate times `gamma` at each milestone."""

    type: Literal['MultiStepLR', 'MultiStepRestartLR']
    """Name of the schedule; both names mean the same."""
    milestones: Positives
    """Iterations at which the rate drops."""
    gamma: Annotated[float, Field(gt=0)] = 0.1
    """Factor at each milestone."""
    restarts: Naturals = (0,)
    """Iterations at which the rate starts again from the base rate."""
    restart_weights: Weights = (1.0,)
    """Factor on the base rate at each restart; as many as restarts."""


class TrueCosineAnnealingLR(Section):
    """One cosine from the base rate to `eta_min`."""

    type: Literal['TrueCosineAnnealingLR']
    """Name of the schedule."""
    T_max: Positive
    """Length of the cosine in iterations."""
    eta_min: Annotated[float, Field(ge=0)] = 0.0
    """Rate at the end."""


Scheduler = Annotated[CosineAnnealingRestartLR | MultiStepLR | TrueCosineAnnealingLR, Field(discriminator='type')]


def _never_frozen(value: object) -> object:
    return 0 if value is None else value


class TrainOptions(Section):
    """How the network is trained."""

    total_iter: Positive
    """Optimizer steps of the whole run."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights per step, [0, 1); 0 keeps no average."""
    warmup_iter: Annotated[Whole, Field(ge=-1)] = -1
    """Iterations of linear warm-up; -1: none."""
    fix_flow: Annotated[Whole, Field(ge=-1), BeforeValidator(_never_frozen)] = 0
    """Iterations at the start during which the flow network is frozen; 0: never frozen, -1: frozen for the whole run.
    """
    train_only: Names = ()
    """Parts of the network that are trained, by the beginnings of their parameters' names, e.g. `[alignment]`; all else
    stays as it was loaded. Empty: everything is trained."""
    flow_lr_mul: Annotated[float, Field(ge=0)] = 1.0
    """Learning rate of the flow network as a multiple of `optim_g.lr`."""
    optim_g: Component
    """`type: Adam` or `AdamW` of torch, or one of timm's as `timm/adan`, `timm/lion`, ..., with `lr` and further
    arguments of its class: `betas`, `weight_decay`, `eps`, ..."""
    scheduler: Scheduler
    """Learning rate over the run, by `type`: see the schedules below."""
    pixel_opt: Component | None = None
    """Pixel loss: `type` (e.g. `CharbonnierLoss`) and its arguments."""
    perceptual_opt: Component | None = None
    """Perceptual loss, beside or instead of the pixel loss: `type` (`PerceptualLoss`) and its arguments."""
    cleaning_opt: Component | None = None
    """Loss between the frames that `RealVSR` cleaned and the ground truth, downscaled by area: `type` (e.g. `L1Loss`)
    and its arguments."""
    gan_opt: Component | None = None
    """Adversarial loss, with `model_type: VSRGANModel`: `type` (`GANLoss`) and its arguments."""
    optim_d: Component | None = None
    """Optimizer of the discriminator, as `optim_g`; its rate follows the same schedule."""
    teacher_opt: Component | None = None
    """Loss against the outputs of a better network, which `dataroot_teacher` of the training set names: `type` (e.g.
    `CharbonnierLoss`) and its arguments, among them `loss_weight`."""
    teacher_fade: Annotated[float, Field(ge=0, le=1)] = 0.33
    """Share of `total_iter`, at its end, over which the weight of `teacher_opt` falls to zero; 0: it never falls."""
    precision: Literal['fp32', 'fp16', 'bf16'] = 'fp32'
    """Number format under autocast; fp16 scales the loss. Flow and grids are float32 under each of them."""
    accumulate: Positive = 1
    """Batches whose gradients are summed to one optimizer step."""
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest L2 norm of the gradient of the whole network; `~`: no clipping."""
    skip_limit: Positive = 100
    """Iterations with a NaN or infinite loss or gradient are skipped; at this many in the whole run it ends."""
    compile: bool = False
    """Compile with `torch.compile` what takes most of the time: the fusion of the backbones of `IART`, the trunks and
    alignment of `IABasicVSR`, pixel losses; other networks as a whole. Results differ in the last bits. On a CPU it
    needs a C++ compiler (`g++`)."""
    cuda_graphs: bool = False
    """Record the forward and backward passes as a CUDA graph and replay it, which saves the time of launching each
    kernel: for one process, clips of one size, and `network_g.use_checkpoint: none`. No effect on a CPU; never run on
    a GPU so far."""
    deterministic: bool = False
    """Only deterministic algorithms: the same run gives the same bits on the same machine. On a GPU attention and
    warping then take slower backward passes."""
    tf32: Literal['off', 'conv', 'all'] = 'conv'
    """What GPUs from compute capability 8.0 compute in TensorFloat-32 where precision is `fp32`: convolutions (torch's
    habit), matrix products too, or nothing."""
