"""Benchmarks as data: one YAML file each, beside this module.

protocol = get('Vid4-BI')
match(protocol, {'city': 34, 'walk': 47}).label  ->  'Vid4-BI, 2 of 4 clips'
"""

from iart.protocols.agreement import Match, candidates, match, metric_differences
from iart.protocols.protocol import BenchmarkClip, ManyClips, Protocol, Published, get, load, load_all, names

__all__ = [
    'BenchmarkClip',
    'ManyClips',
    'Match',
    'Protocol',
    'Published',
    'candidates',
    'get',
    'load',
    'load_all',
    'match',
    'metric_differences',
    'names',
]
