"""Kill a run with kill -9 at random moments until it is finished, and compare it with an uninterrupted run.

python tests/faults/kill_run.py [--kills 30] [--processes 1] [--workers 0] [--seed 0] [--kind plain]

Exit code 0: everything is bit-exactly the same; 1: differences, which are listed.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from running import KINDS, Phase, free_port, kill, make_data, outcome, start, wait

_SLOW = 0.3  # seconds that a checkpoint file takes to be written
_PATIENCE = 5.0  # seconds that the other rank has to notice
_LONGEST = 600.0  # seconds; no attempt comes near it


def kill_run(
    root: Path, *, kills: int, processes: int = 1, workers: int = 0, seed: int = 0, kind: str = 'plain'
) -> dict[str, Any]:
    """Both runs, and what became of them."""
    total = 4 * kills + 6
    changes = {
        **KINDS[kind],
        'train__total_iter': total,
        'train__scheduler__periods': [total],
        'datasets__train__num_worker_per_gpu': workers,
    }
    whole, torn = make_data(root / 'whole'), make_data(root / 'torn')
    if finish(whole, processes, **changes) != [0] * processes:
        raise SystemExit(f'the run that is left alone failed:\n{(whole / "output0.txt").read_text()[-3000:]}')
    during = Counter[str]()
    survivors = Counter[str]()
    torn_files, draw, attempts = 0, random.Random(seed), 0
    while sum(during.values()) < kills and attempts < 4 * kills:
        attempts += 1
        phase, others = Phase(), Phase()
        port = free_port()
        children = [
            start(torn, phase if rank == 0 else others, slow=_SLOW, rank=rank, ranks=processes, port=port, **changes)
            for rank in range(processes)
        ]
        victim = draw.randrange(processes)
        if (code := moment(children[victim], phase, draw)) is not None:
            if code:
                raise SystemExit(
                    f'attempt {attempts} ended by itself with '
                    f'{code}:\n{(torn / f"output{victim}.txt").read_text()[-3000:]}'
                )
            for rank, child in enumerate(children):
                if rank != victim:
                    wait(child, _LONGEST)
            break
        during[phase.now()] += 1
        kill(children[victim])
        for rank, child in enumerate(children):
            if rank != victim:
                survivors[end_of_survivor(child)] += 1
        torn_files += sum(1 for _ in (torn / 'experiments').rglob('*.unfinished')) > 0
    codes = finish(torn, processes, **changes)
    if codes != [0] * processes:
        raise SystemExit(f'the last attempt failed:\n{(torn / "output0.txt").read_text()[-3000:]}')
    one, other = outcome(whole, total), outcome(torn, total)
    return {
        'kills': sum(during.values()),
        'during': dict(during),
        'half-written files left': torn_files,
        'end of the other rank': dict(survivors),
        'iterations': total,
        'undisturbed': one['weights'],
        'killed': other['weights'],
        'differs': [name for name in one if one[name] != other[name]],
    }


def moment(child: int, phase: Phase, draw: random.Random) -> int | None:
    """Let a child run until a random moment: any, or some time after it began to train, or to write. None: it runs."""
    kind = draw.choice(('starting', 'training', 'training', 'writing', 'writing'))
    order = ('starting', 'training', 'scoring', 'writing')
    longest = draw.uniform(0, {'starting': 2.0, 'training': 2.0, 'writing': 2.5 * _SLOW}[kind])
    while order.index(phase.now()) < order.index(kind):
        if (code := wait(child, 0)) is not None:
            return code
        time.sleep(0.002)
    return wait(child, longest)


def end_of_survivor(child: int) -> str:
    """How the other rank ended: by itself, or, as torchrun does with one that still waits for the others to come, by a
    signal.
    """
    code = wait(child, _PATIENCE)
    if code is None:
        kill(child)
        return 'ended from outside'
    return f'by itself, {code}'


def finish(root: Path, processes: int, **changes: Any) -> list[int | None]:
    """Let a run continue to its end; return exit codes by rank."""
    port = free_port()
    children = [start(root, Phase(), rank=rank, ranks=processes, port=port, **changes) for rank in range(processes)]
    return [wait(child, _LONGEST) for child in children]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=30, help='how often (default 30)')
    parser.add_argument(
        '--processes', type=int, choices=(1, 2), default=1, help='gloo processes; one of them is killed each time'
    )
    parser.add_argument('--workers', type=int, default=0, help='processes that read frames')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument(
        '--kind', choices=tuple(KINDS), default='plain', help='of training: with cleaning, with a discriminator'
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_run(
            Path(folder),
            kills=given.kills,
            processes=given.processes,
            workers=given.workers,
            seed=given.seed,
            kind=given.kind,
        )
    for name, value in result.items():
        print(f'{name}: {value if value != [] else "nothing"}')
    return int(bool(result['differs']))


if __name__ == '__main__':
    sys.exit(main())
