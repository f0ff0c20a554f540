"""Commands on the null device, run one after another in one process."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from iart import cli


def run_commands(root: str, commands: list[list[str]]) -> list[int]:
    """Return the exit code of each command; 0 for those that return."""
    os.chdir(root)
    codes = []
    for words in commands:
        code: Any = 0
        try:
            cli.main(words)
        except SystemExit as end:
            code = end.code or 0
        codes.append(code)
        if code:
            print(f'iart {" ".join(words)}: code {code}', file=sys.stderr)
    return codes


def scoring(root: str, plans: list[list[str]]) -> dict[str, Any]:
    """Score two small clips by every plan, write reports of the last, and score BasicVSR.

    Args:
        root: an empty folder.
        plans: arguments of ``iart test`` for each run.
    """
    from helpers.tiny import write_clips

    from iart.archs.builder import build_network
    from iart.weights import write_weights

    folder = Path(root)
    write_clips(folder, clips=1, frames=3, size=(64, 72))
    sections = {
        'iart': {'type': 'IART', 'mid_channels': 8, 'embed_dim': 40, 'depths': [2], 'num_heads': [2]},
        'basicvsr': {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1},
    }
    for name, section in sections.items():
        torch.manual_seed(0)
        write_weights(folder / f'{name}.safetensors', build_network(dict(section)), section)
    clips = ['--lq', 'LR', '--gt', 'GT']
    commands = [['test', '--weights', 'iart.safetensors', *clips, *plan] for plan in plans]
    commands += [['test', '--weights', 'basicvsr.safetensors', *clips, '--precision', 'fp16']]
    codes = run_commands(root, commands)
    report = json.loads((folder / 'results/basicvsr_GT/report.json').read_text())
    page = (folder / 'results/iart_GT/report.html').exists()
    tf32 = json.loads((folder / 'results/iart_GT/report.json').read_text())['settings']['tf32']
    return {'codes': codes, 'facts': [report['machine'], report['settings']['precision']], 'tf32': tf32, 'page': page}


def upscaling(root: str) -> dict[str, Any]:
    """Upscale a folder to PNG files and to a video, in every precision."""
    from helpers.tiny import write_clips

    folder = Path(root)
    write_clips(folder, clips=1, frames=3, size=(16, 24))
    source = str(folder / 'LR' / '000')
    runs = [
        ['frames', '--precision', 'fp32'],
        ['video.mkv', '--precision', 'fp16'],
        ['deep.mkv', '--precision', 'bf16'],
    ]
    codes = run_commands(root, [['upscale', source, *run] for run in runs])
    return {'codes': codes, 'written': sorted(p.name for p in folder.iterdir() if p.name not in ('GT', 'LR'))}


def estimating(root: str) -> dict[str, Any]:
    """Estimate a small run with the command, and return its figures with the peak in bytes that its steps allocated."""
    from helpers.tiny import write_options

    network = {'alignment': {'type': 'FlowWarpAlignment'}, 'embed_dim': 40, 'window_size': [3, 8, 8]}
    changes: dict[str, Any] = {f'network_g__{key}': value for key, value in network.items()}
    changes |= {'network_g__use_checkpoint': 'blocks', 'network_g__drop_path_rate': 0, 'train__precision': 'fp16'}
    path = write_options(Path(root), **changes, datasets__train__gt_size=256)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        codes = run_commands(root, [['estimate', str(path), '--json', '--seconds', '60']])
    return {'codes': codes, 'peak': torch.cuda.max_memory_allocated(), **json.loads(printed.getvalue())}
