"""The fixed part of the YAML vocabulary. The docstring under a field is its documentation: meaning, unit, range."""

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer, model_validator

from iart.options.base import Component, FrozenDict, Natural, Positive, Section
from iart.options.train_section import TrainOptions


class DatasetOptions(Section):
    """One set of clips, under `datasets.train`, `datasets.val`, `datasets.test_1`, ... The keys below are for the
    loader;
    every other key is an argument of the class that `type` names."""

    type: str
    """Class of the data set, e.g. `REDSRecurrentDataset`, `VideoRecurrentTestDataset`."""
    name: str | None = None
    """Name in tables and of the folder for saved frames; default: the key of the section."""
    protocol: str | None = None
    """Benchmark that the set is, e.g. `REDS4-BI`, `Vid4-BD`: its listing is checked and
    the published figures are shown beside the measured ones."""
    published: str | None = None
    """Scoring only: the published result to compare with, e.g. `IART N6`; default: all of the network's `type`;
    `none`: nothing is published for these weights."""
    use_shuffle: bool = True
    """Training only: draw the clips in random order."""
    num_worker_per_gpu: Natural = 2
    """Training only: processes that read frames, per process that trains; 0 reads in the training process."""
    batch_size_per_gpu: Positive = 1
    """Training only: clips in a batch, per process."""
    dataset_enlarge_ratio: Annotated[float, Field(gt=0)] = 1.0
    """Training only: how often the set is repeated within an epoch."""
    unreadable: Literal['stop', 'skip'] = 'stop'
    """Training only: when a file cannot be read any more, `stop` saves and ends the run, `skip` takes another window of
    the set in its place, always the same one. Either way the file is named."""
    pin_memory: bool = True
    """Training only: read into page-locked memory, which makes the copy to a GPU faster."""
    arguments: Component = Field(default_factory=FrozenDict)
    """Arguments of the class (in the YAML, beside the keys above)."""

    @model_validator(mode='before')
    @classmethod
    def _gather_arguments(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        loader, arguments = cls.split(data)
        return {**loader, 'arguments': arguments}

    @model_serializer(mode='wrap')
    def _beside(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        arguments = fields.pop('arguments')
        return {**fields, **arguments}

    @classmethod
    def split(cls, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A YAML section as (keys of the loader, arguments of the class)."""
        loader = cls.model_fields.keys() - {'arguments'}
        return {k: v for k, v in data.items() if k in loader}, {k: v for k, v in data.items() if k not in loader}

    @property
    def section(self) -> dict[str, Any]:
        """`type` and the arguments of the class, as `registry.build` takes them."""
        return {'type': self.type, **self.arguments}


class PathOptions(Section):
    """Weights to start from and folders to write to."""

    pretrain_network_g: str | None = None
    """Weight file to start from (`.pth` or `.safetensors`). Training also starts from weights of another `scale`: the
    upsampling layers start fresh."""
    param_key_g: str | None = 'params'
    """Entry of the weight file: `params` or `params_ema`; `~` when the file holds the names themselves."""
    strict_load_g: bool = True
    """Every name must be accounted for; `false` takes what fits and lists every name it skipped."""
    pretrain_network_d: str | None = None
    """Weight file that the discriminator starts from."""
    param_key_d: str | None = 'params'
    """Entry of that file; see `param_key_g`."""
    strict_load_d: bool = True
    """Every name of the discriminator must be accounted for."""
    resume_state: str | None = None
    """Checkpoint to continue from, exactly where it was written."""
    experiments_root: str = 'experiments'
    """Folder of the training runs, which are written to `<experiments_root>/<name>`."""
    results_root: str = 'results'
    """Folder of the scoring runs, which are written to `<results_root>/<name>`."""


class ValOptions(Section):
    """Scoring, during training and in `iart test`."""

    val_freq: Positive | None = None
    """Iterations between two validations; `~`: only after the last iteration."""
    save_img: bool = False
    """Write the restored frames as PNG."""
    suffix: str | None = None
    """Appended to the names of the written frames; default: the name of the experiment."""
    flip_seq: bool = False
    """Score the mean of what the network gives for the clip mirrored in time, as the BasicVSR family is scored on
    Vimeo-90K-T.
    """
    center_frame_only: bool = False
    """Score only the middle frame of a clip (Vimeo-90K-T)."""
    use_ema: bool = True
    """Score the averaged weights where there are any (`train.ema_decay` above 0)."""
    metrics: dict[str, Component] = Field(default_factory=dict)
    """Any name: `type` (`calculate_psnr`, `calculate_ssim`, ...), its arguments (`crop_border` in pixels,
    `test_y_channel`), and `better: higher` (default) or `lower`."""
    best_metric: str | None = None
    """Name of the metric that chooses the best checkpoint; default: the first one."""
    max_images: Natural = 1
    """Frames sent to TensorBoard at each validation."""

    def higher_is_better(self, metric: str) -> bool:
        """Return whether a higher value of this metric is better (`better` of its section)."""
        return self.metrics[metric].get('better', 'higher') == 'higher'


class WandbOptions(Section):
    """Weights & Biases; nothing is sent without a project."""

    project: str | None = None
    """Project to log to; `~` switches it off."""
    resume_id: str | None = None
    """Identifier of the run to continue."""


class LoggerOptions(Section):
    """What is written while training, and how often."""

    print_freq: Positive = 100
    """Iterations between two lines on the console and in `train.log`."""
    save_checkpoint_freq: Positive = 5000
    """Iterations between two checkpoints."""
    use_tb_logger: bool = True
    """Write TensorBoard events to `tb/`."""
    keep_states: Positive = 3
    """Newest training states that are kept; older ones are removed."""
    keep_models: Positive | None = None
    """Newest weight files that are kept beside the best one; `~` keeps all."""
    wandb: WandbOptions = WandbOptions()
    """Weights & Biases."""


class DistOptions(Section):
    """Training with several processes."""

    backend: Literal['nccl', 'gloo'] = 'nccl'
    """How processes talk; on a CPU it is always gloo."""
    port: Annotated[Positive, Field(le=65535)] = 29500
    """Port of the first process, where the launcher names none."""
    timeout_minutes: Positive = 30
    """Minutes a process waits for the others before it gives up."""


class Options(Section):
    """A whole YAML file."""

    name: str
    """Name of the experiment and of its folder under `experiments/` or `results/`."""
    model_type: str = 'VSRModel'
    """What trains and scores the network; the names of BasicSR's and IART's video models mean `VSRModel`."""
    scale: Positive = 4
    """Upscaling factor, the same as the network's (`network_g.scale`): IART and IABasicVSR have 1 to 4."""
    find_unused_parameters: bool = False
    """Training with several processes: look in every step for parameters that get no gradient. Needed only by networks
    that have some, which are named at the first iteration; it costs a walk through the graph."""
    num_gpu: Natural | Literal['auto'] = 'auto'
    """Informative: the launcher decides how many processes there are."""
    manual_seed: Natural = 0
    """Seed of everything random."""
    datasets: dict[str, DatasetOptions] = Field(default_factory=dict)
    """`train`, and any number of sets to score whose keys start with `val` or `test`."""
    network_g: Component
    """`type` of the network and its arguments; a nested `alignment: {type: ...}` chooses the alignment of networks that
    have one,
    `flow: {type: ...}` where their optical flow comes from."""
    network_d: Component | None = None
    """Discriminator of adversarial training (`model_type: VSRGANModel`): `type` (`UNetDiscriminatorSN`,
    `VGGStyleDiscriminator`) and its arguments."""
    path: PathOptions = PathOptions()
    """Weights and folders."""
    train: TrainOptions | None = None
    """Training; absent in test files."""
    val: ValOptions = ValOptions()
    """Scoring."""
    logger: LoggerOptions = LoggerOptions()
    """Logging."""
    dist_params: DistOptions = DistOptions()
    """Several processes."""

    _notes: tuple[str, ...] = PrivateAttr(default=())

    def __eq__(self, other: object) -> bool:
        """Equal options, whatever was explained while reading them."""
        return isinstance(other, Options) and self.model_dump() == other.model_dump()

    @property
    def notes(self) -> tuple[str, ...]:
        """Explanations of keys that have no meaning any more; to be logged once."""
        return self._notes
