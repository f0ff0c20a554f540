"""YAML files with upstream's keys load unchanged; keys without effect are explained once."""

from pathlib import Path

import pytest

from iart.errors import OptionsError
from iart.options import Options, load

IART_N6 = """
name: IART_REDS_N6_300K
model_type: RecurrentMixPrecisionRTModel
scale: 4
num_gpu: 8
manual_seed: 0
use_static_graph: true
find_unused_parameters: false

datasets:
  train:
    name: REDS
    type: REDSRecurrentDataset
    dataroot_gt: datasets/REDS/train_sharp.lmdb
    dataroot_lq: datasets/REDS/train_sharp_bicubic.lmdb
    meta_info_file: basicsr/data/meta_info/meta_info_REDS_GT.txt
    val_partition: REDS4
    test_mode: false
    io_backend:
      type: lmdb
    num_frame: 6
    gt_size: 256
    interval_list: [1]
    random_reverse: false
    use_hflip: true
    use_rot: true
    use_shuffle: true
    num_worker_per_gpu: 3
    batch_size_per_gpu: 1
    dataset_enlarge_ratio: 200
    prefetch_mode: cuda
    pin_memory: true
  val:
    name: REDS4
    type: VideoRecurrentTestDataset
    dataroot_gt: datasets/REDS4/GT
    dataroot_lq: datasets/REDS4/sharp_bicubic
    cache_data: true
    io_backend:
      type: disk
    num_frame: -1
    prefetch_mode: ~

network_g:
  type: IART
  mid_channels: 64
  embed_dim: 120
  depths: [6, 6, 6]
  num_heads: [6, 6, 6]
  window_size: [3, 8, 8]
  num_frames: 3
  img_size: 64
  patch_size: 1
  cpu_cache_length: 100
  is_low_res_input: true
  use_checkpoint: true
  spynet_path: experiments/pretrained_models/flownet/spynet_sintel_final-3d2a1287.pth

path:
  pretrain_network_g: ~
  strict_load_g: false
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]
  scheduler:
    type: CosineAnnealingRestartLR
    periods: [300000]
    restart_weights: [1]
    eta_min: !!float 1e-7
  total_iter: 300000
  warmup_iter: -1
  fix_flow: 5000
  flow_lr_mul: 0.125
  pixel_opt:
    type: CharbonnierLoss
    loss_weight: 1.0
    reduction: mean

val:
  val_freq: !!float 5e3
  save_img: false
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 0
      test_y_channel: false
    ssim:
      type: calculate_ssim
      crop_border: 0
      test_y_channel: false

logger:
  print_freq: 1
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""

VIMEO = """
    name: Vimeo90K
    type: Vimeo90KRecurrentDataset
    dataroot_gt: datasets/vimeo90k/vimeo_septuplet/sequences
    dataroot_lq: datasets/vimeo90k/vimeo_septuplet_matlabLRx4/sequences
    meta_info_file: basicsr/data/meta_info/meta_info_Vimeo90K_train_GT.txt
    io_backend: {type: disk}
    num_frame: -1
    gt_size: 256
    interval_list: [1]
    random_reverse: false
    use_hflip: true
    use_rot: true
    flip_sequence: true
    use_shuffle: true
    num_worker_per_gpu: 6
    batch_size_per_gpu: 1
    dataset_enlarge_ratio: 1
    prefetch_mode: cpu
"""

TEST_ONLY = """
name: BasicVSR_test
model_type: VideoRecurrentModel
scale: 4
num_gpu: auto
manual_seed: 10
datasets:
  test:
    name: Vid4
    type: VideoTestDataset
    dataroot_gt: datasets/Vid4/GT
    dataroot_lq: datasets/Vid4/BIx4
    cache_data: false
    io_backend: {type: disk}
    num_frame: 7
    padding: reflection_circle
  test_1:
    name: Vimeo90K
    type: VideoTestVimeo90KDataset
    dataroot_gt: gt
    dataroot_lq: lq
    meta_info_file: basicsr/data/meta_info/meta_info_Vimeo90K_test_GT.txt
    cache_data: false
    io_backend: {type: disk}
    num_frame: 7
network_g:
  type: IconVSR
  num_feat: 64
  num_block: 30
  keyframe_stride: 5
  temporal_padding: 3
  spynet_path: a.pth
  edvr_path: b.pth
path:
  pretrain_network_g: c.pth
  param_key_g: params_ema
  strict_load_g: true
val:
  save_img: true
  suffix: ~
  flip_seq: true
  center_frame_only: true
  pbar: true
  metrics:
    anything: {type: calculate_psnr, crop_border: 0, test_y_channel: true}
"""

NETWORKS = {
    'BasicVSR': '{type: BasicVSR, num_feat: 64, num_block: 30, spynet_path: x.pth}',
    'BasicVSRPlusPlus': '{type: BasicVSRPlusPlus, mid_channels: 64, num_blocks: 7, is_low_res_input: true, '
    'spynet_path: x.pth}',
}


def read(folder: Path, text: str, *overrides: str) -> Options:
    path = folder / 'x.yml'
    path.write_text(text, encoding='utf-8')
    return load(path, overrides)


def basicsr_recipe(network: str) -> str:
    """A recipe as BasicSR ships them for its own recurrent networks."""
    start, end = IART_N6.index('network_g:'), IART_N6.index('\npath:')
    text = f'{IART_N6[:start]}network_g: {network}\n\n{IART_N6[end:]}'
    text = text.replace('RecurrentMixPrecisionRTModel', 'VideoRecurrentModel').replace('use_static_graph: true\n', '')
    return text.replace('prefetch_mode: cuda', 'prefetch_mode: ~').replace('num_frame: 6', 'num_frame: 15')


def test_iart(tmp_path: Path) -> None:
    options = read(tmp_path, IART_N6)
    assert options.train is not None
    assert (options.model_type, options.train.precision, options.num_gpu) == ('VSRModel', 'fp16', 8)
    assert (options.val.val_freq, options.logger.save_checkpoint_freq, options.logger.print_freq) == (5000, 5000, 1)
    assert options.network_g['depths'] == (6, 6, 6)
    assert options.train.optim_g['lr'] == 2e-4
    assert not options.path.strict_load_g
    assert not options.find_unused_parameters
    assert len(options.notes) == 3
    for key in ('use_static_graph', 'prefetch_mode', 'precision: fp16'):
        assert sum(note.count(f'{key} ') + note.endswith(key) for note in options.notes) == 1


def test_precision_that_is_named_wins(tmp_path: Path) -> None:
    options = read(tmp_path, IART_N6, 'train:precision=bf16')
    assert options.train is not None
    assert options.train.precision == 'bf16'
    assert not any('precision' in note for note in options.notes)


def test_vimeo(tmp_path: Path) -> None:
    start, end = IART_N6.index('    name: REDS\n'), IART_N6.index('  val:\n')
    text = IART_N6[:start] + VIMEO + IART_N6[end:]
    options = read(
        tmp_path, text.replace('fix_flow: 5000', 'fix_flow: -1').replace('flow_lr_mul: 0.125', 'flow_lr_mul: 0.25')
    )
    assert options.train is not None
    assert options.train.fix_flow == -1
    assert options.datasets['train'].arguments['num_frame'] == -1
    assert options.datasets['train'].arguments['flip_sequence'] is True


@pytest.mark.parametrize('network', NETWORKS)
def test_basicsr_recipes(tmp_path: Path, network: str) -> None:
    options = read(tmp_path, basicsr_recipe(NETWORKS[network]))
    assert options.train is not None
    assert (options.model_type, options.train.precision, options.network_g['type']) == ('VSRModel', 'fp32', network)
    assert options.notes == ()


def test_iconvsr_test_file(tmp_path: Path) -> None:
    options = read(tmp_path, TEST_ONLY)
    assert options.train is None
    assert list(options.datasets) == ['test', 'test_1']
    assert options.datasets['test'].arguments['padding'] == 'reflection_circle'
    assert options.val.flip_seq
    assert options.val.center_frame_only
    assert (options.num_gpu, options.manual_seed, options.path.param_key_g) == ('auto', 10, 'params_ema')
    assert len(options.notes) == 1


def test_multistep_schedule(tmp_path: Path) -> None:
    start, end = IART_N6.index('    type: CosineAnnealingRestartLR'), IART_N6.index('  total_iter')
    schedule = '    type: MultiStepLR\n    milestones: [!!float 1e5, 200000]\n    gamma: 0.5\n'
    options = read(tmp_path, IART_N6[:start] + schedule + IART_N6[end:])
    assert options.train is not None
    assert options.train.scheduler.model_dump()['milestones'] == (100000, 200000)


def test_adversarial_training_in_upstream_s_words(tmp_path: Path) -> None:
    text = IART_N6.replace('RecurrentMixPrecisionRTModel', 'VideoRecurrentGANModel')
    gan = '  gan_opt: {type: GANLoss, gan_type: vanilla}\n  optim_d: {type: Adam, lr: 1e-4}\n  net_d_iters: 1\n'
    network_d = '\nnetwork_d: {type: UNetDiscriminatorSN, num_in_ch: 3}\n'
    options = read(tmp_path, text.replace('  fix_flow', gan + '  fix_flow') + network_d)
    assert options.model_type == 'VSRGANModel'
    assert any('net_d_iters' in note for note in options.notes)
    with pytest.raises(OptionsError) as caught:
        read(tmp_path, text.replace('  fix_flow', '  net_d_init_iters: 5\n  net_d_reg_every: 16\n  fix_flow'))
    message = str(caught.value)
    assert 'train.net_d_init_iters: got 5, expected 0' in message
    assert 'train.net_d_reg_every' in message
    assert 'network_d: got nothing' in message
