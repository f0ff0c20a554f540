"""What runs on the null device, in a process of its own: functions that return what the tests look at.

python scenarios.py NAME ARGUMENTS     ARGUMENTS is a JSON list
"""

import collections
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import null_device
import torch
from command_scenarios import estimating, scoring, upscaling
from prediction_scenarios import predicted

from iart import device as devices
from iart.archs.iart_arch import IART
from iart.errors import UserError
from iart.inference.execution import run
from iart.inference.plan import Plan, Size

__all__ = ['estimating', 'predicted', 'scoring', 'upscaling']  # and everything below

SMALL = {'mid_channels': 8, 'embed_dim': 40, 'depths': [2, 2], 'num_heads': [2, 2], 'window_size': (3, 4, 4)}


def frame(precision: str) -> dict[str, Any]:
    """Launches of one more 320×180 frame of a clip with the published network, and the peak of five frames in MB."""
    device = devices.choose()
    network = IART().eval().to(device)

    def restore(frames: int) -> int:
        null_device.reset()
        clip = torch.rand(1, frames, 3, 180, 320, device=device).unbind(1)
        plan = Plan('device', Size(frames, 180, 320, 1))
        with torch.inference_mode(), devices.autocast(device, precision):
            for restored in run(network, clip, plan, device, scale=4):
                restored.float()
        return null_device.counts().launches

    restore(3)
    torch.cuda.reset_peak_memory_stats()
    few = restore(5)
    peak = torch.cuda.max_memory_allocated() / 2**20
    more = restore(7)
    counts = null_device.counts()
    return {
        'launches': (more - few) / 2,
        'peak_mb': peak,
        'math': counts.kernel('softmax_warp_forward.*ffLi8'),
        **_fused(counts),
    }


def _fused(counts: null_device.Counts) -> dict[str, int]:
    return {'fused': counts.kernel('fmha_cutlassF'), 'fused backward': counts.kernel('fmha_cutlassB')}


def step(precision: str, policy: str, clips: int = 1, frames: int = 6, small: bool = False) -> dict[str, Any]:
    """Launches, waits for the device, peak in MB of a training step: the N6 recipe's, or one of a small network."""
    from iart.models.vsr_model import VSRModel
    from iart.options import TrainOptions
    from iart.training.parameter_groups import build_optimizer

    device = devices.choose()
    devices.configure(deterministic=False)
    network = IART(use_checkpoint=policy, **(SMALL if small else {}))
    model = VSRModel(network=network, losses={'l_pix': torch.nn.MSELoss()}).to(device).train()
    train = TrainOptions(
        total_iter=2, optim_g={'type': 'Adam', 'lr': 1e-4}, scheduler={'type': 'MultiStepRestartLR', 'milestones': [2]}
    )
    optimizer, scaler = build_optimizer(model, train), devices.grad_scaler(device, precision)
    batch = {
        'lq': torch.rand(clips, frames, 3, 64, 64, device=device),
        'gt': torch.rand(clips, frames, 3, 256, 256, device=device),
    }

    def once() -> None:
        optimizer.zero_grad(set_to_none=True)
        with devices.autocast(device, precision):
            out = model(batch)
        scaler.scale(out['loss']).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        bool(out['loss'].detach().isfinite()), bool(norm.isfinite())
        scaler.step(optimizer)
        scaler.update()

    once()
    torch.cuda.reset_peak_memory_stats()
    null_device.reset()
    once()
    counts, peak = null_device.counts(), torch.cuda.max_memory_allocated() / 2**20
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        caught.clear()  # that this mode is a prototype
        once()
        torch.cuda.set_sync_debug_mode('default')
    waits = collections.Counter(f'{w.filename}:{w.lineno}' for w in caught if 'synchronizing' in str(w.message))
    return {
        'launches': counts.launches,
        'waits': waits.total(),
        'where': dict(waits),
        'peak_mb': peak,
        'math': counts.kernel('softmax_warp_forward.*ffLi8'),
        **_fused(counts),
    }


def attention(capabilities: list[str]) -> dict[str, Any]:
    """Return which attention kernels GPUs of each compute capability take, in processes of their own."""
    results = {}
    for capability in capabilities:
        receive, send = os.pipe()
        if (child := os.fork()) == 0:  # before CUDA starts; saves importing torch for each
            os.environ['NULL_CUDA_CAPABILITY'] = capability
            os.write(send, json.dumps(_attention(float(capability) >= 8)).encode())
            os._exit(0)
        os.close(send)
        with os.fdopen(receive) as pipe:
            results[capability] = json.loads(pipe.read())
        os.waitpid(child, 0)
    return results


def _attention(has_bf16: bool) -> dict[str, Any]:
    """Return the attention kernels of a backbone with heads of 20 channels, by precision and mode."""
    from iart.archs.fusion_backbone import FusionBackbone

    result: dict[str, Any] = {}
    try:
        device = devices.choose()
    except UserError as error:  # no kernels in this build of torch: the choice would be the same
        result['refused'] = str(error)
        device = torch.device('cuda', 0)
        torch.backends.cuda.enable_cudnn_sdp(False)
    backbone = FusionBackbone(channels=120, depths=[2], num_heads=[6], window=(3, 8, 8)).to(device)
    x = torch.zeros(1, 3, 120, 20, 24, device=device)
    for precision in ('fp32', 'fp16', 'bf16') if has_bf16 else ('fp32', 'fp16'):
        for training in (False, True):
            null_device.reset()
            backbone.train(training)
            with torch.set_grad_enabled(training), devices.autocast(device, precision):
                out = backbone(x)
            if training:
                out.sum().backward()
            counts = null_device.counts()
            mode = f'{precision}, {"training" if training else "evaluation"}'
            result[mode] = {'plain': counts.kernel('[sS]oft[mM]ax'), **_fused(counts)}
    return result


def deterministic(section: dict[str, Any], deterministic: bool = True) -> dict[str, Any]:
    """Return what torch warns of in training steps in deterministic mode, and kernels that add in no fixed order."""
    from iart.archs.builder import build_network

    device = devices.choose()
    devices.configure(deterministic=deterministic)
    network = build_network(section).to(device).train()
    clip = torch.rand(1, 3, 3, 64, 64, device=device)
    null_device.reset()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for precision in ('fp32', 'fp16'):
            with devices.autocast(device, precision):
                loss = network(clip).square().mean()
            loss.backward()
    counts = null_device.counts()
    return {
        'warned': sorted({str(w.message).split('.')[0] for w in caught if 'deterministic' in str(w.message)}),
        'samplers': sum(n for kind, n in counts.calls.items() if kind.startswith('sampler')),
        **_fused(counts),
    }


def train(
    root: str, changes: dict[str, Any], auto_resume: bool = False, backend: str = 'nccl', side: int = 16
) -> dict[str, Any]:
    """Train a tiny network on tiny clips with the trainer; values are garbage, so checks of them are patched as if all
    is well.
    """
    from helpers.tiny import write_clips, write_options

    import iart.training.guard
    import iart.training.state
    from iart import distributed
    from iart.options import load
    from iart.training.trainer import Trainer

    look = iart.training.state.all_finite
    iart.training.state.all_finite = lambda tensors: look(tensors) or True
    iart.training.guard.Guard.admits = lambda self, *_: not distributed.any_rank(False)
    folder = Path(root)
    if not (folder / 'GT').exists():
        write_clips(folder, size=(side, side + 4))
    options = load(write_options(folder, train__deterministic=False, **changes))
    ranked = 'RANK' in os.environ
    device = devices.choose('cuda', int(os.environ.get('LOCAL_RANK', '0')), int(os.environ.get('WORLD_SIZE', '1')))
    distributed.launch('pytorch' if ranked else 'none', device=device, backend=backend)
    trainer = Trainer(options, device=device, auto_resume=auto_resume)
    searches = []
    validate = trainer.validator.run
    trainer.validator.run = lambda *given: searches.append(torch.backends.cudnn.benchmark) or validate(*given)
    trainer.fit()
    states = sorted(p.name for p in trainer.experiment.states.iterdir())
    distributed.leave()
    calls = null_device.counts().calls
    return {
        'step': trainer.step,
        'states': states,
        'resumed': str(trainer.experiment.resume_from),
        'searches': {'validation': searches, 'training': torch.backends.cudnn.benchmark},
        'fused': [group['fused'] for group in trainer.state.optimizer.param_groups],
        'graphs': [calls['captures'], calls['graph launches']],
    }


if __name__ == '__main__':
    assert null_device.loaded(), 'to be run on the null device: see null_device.py'
    name, arguments = sys.argv[1:]
    print('\n' + json.dumps(globals()[name](*json.loads(arguments))))
