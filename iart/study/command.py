"""The command line of the alignment study."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from iart import device as devices
from iart import log
from iart.errors import UserError
from iart.processes import stop_with_parent
from iart.study.bicubic_scores import score_bicubic
from iart.study.result_files import write_results
from iart.study.rows import PAPER_PARAMETERS, ROWS
from iart.study.runs import parameters, perform, read_scores
from iart.study.side_by_side import perform_all
from iart.study.study_file import StudyPlan
from iart.study.table import Results
from iart.training.dry_run import DryRun, Load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog='run_alignment_study.py', description=__doc__)
    parser.add_argument('study', type=Path, help='study file, such as options/study/synthetic_small.yml')
    parser.add_argument(
        '--device', default='auto', help='the device to compute on; several, separated by commas, share the rows'
    )
    parser.add_argument('--processes', type=int, default=1, help='number of trainings at a time')
    parser.add_argument('--threads', type=int, help='threads of each training on a CPU')
    parser.add_argument('--only', metavar='RUN', help='one training, such as implicit_gt_s0')
    parser.add_argument('--stop_with_parent', action='store_true', help=argparse.SUPPRESS)  # of --processes
    parser.add_argument('--table', action='store_true', help='write the results so far; train nothing')
    parser.add_argument('--parameters', action='store_true', help='print the parameters of each row; train nothing')
    parser.add_argument('--estimate', action='store_true', help='time a few steps of each row; train nothing')
    parser.add_argument('--force_yml', nargs='+', default=[], help='override options of all rows, as in iart train')
    given = parser.parse_args(arguments)
    try:
        _run(given)
    except UserError as error:
        log.logger.error(str(error))
        return 2
    return 0


def _run(given: argparse.Namespace) -> None:
    log.setup()
    if given.stop_with_parent:
        stop_with_parent()
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.processes < 1:
        raise UserError(f'--processes: got {given.processes}, expected 1 or more')
    plan = StudyPlan(given.study, given.force_yml)
    if given.parameters:
        _print_parameters(plan)
        return
    if given.estimate:
        _print_estimate(plan, devices.choose(given.device.split(',')[0]))
        return
    if given.only:
        run = plan.run(given.only)
        if read_scores(plan, run) is None:
            perform(plan, run, devices.choose(given.device))
        return
    try:
        if not given.table:
            score_bicubic(plan)
            perform_all(plan, given.device, given.processes, given.study, given.threads)
    finally:
        page = write_results(Results(plan))
        log.logger.info(f'written to {plan.folder}: {page.name}, table.md, results.csv, figures/')


def _print_parameters(plan: StudyPlan) -> None:
    print(f'{"row":28}{"alignment":>12}{"live":>12}{"with dead":>12}{"paper, M":>10}')
    for row, total, in_alignment, dead in parameters(plan):
        paper = f'{PAPER_PARAMETERS[row]:.2f}' if row in PAPER_PARAMETERS else 'n/a'
        print(f'{ROWS[row].label:28}{in_alignment:12,}{total:12,}{total + dead:12,}{paper:>10}')


def _print_estimate(plan: StudyPlan, device: torch.device) -> None:
    """Print the time of a step and of a training, from three steps of each row."""
    total, timed = 0.0, dict[tuple[str, str], float]()
    print(f'{"row":28}{"flow":>8}{"ms/step":>10}{"minutes":>10}')
    for run in plan.runs():
        options = plan.options(run)
        assert options.train is not None
        key = run.row, run.flow
        if key not in timed:
            data = options.datasets['train']
            load = Load(
                data.batch_size_per_gpu, data.arguments['num_frame'], data.arguments['gt_size'] // options.scale
            )
            changes = {'flow': {'type': 'gt'}} if data.arguments.get('flow_cache') else None
            timed[key] = DryRun(options, device, changes=changes).seconds(load, steps=3)
            minutes = timed[key] * options.train.total_iter / 60
            print(f'{ROWS[run.row].label:28}{run.flow:>8}{1000 * timed[key]:10.0f}{minutes:10.1f}')
        total += timed[key] * options.train.total_iter / 3600
    print(f'all {len(list(plan.runs()))} trainings one after the other: {total:.1f} hours, without scoring')


if __name__ == '__main__':
    sys.exit(main())
