"""Degradation chains: how footage of the real world is imitated, as a list of registered steps.

A chain is data: a YAML list whose entries name a step by ``type`` and give its arguments. Published chains are files
beside this module and are called by name. A step is a class in a ``*_degradation.py`` of this folder, registered in
``DEGRADATION_REGISTRY``::

    @DEGRADATION_REGISTRY.register(suffix=SUFFIX)
    @dataclass(frozen=True, kw_only=True)
    class Invert(Step):
        def apply(self, frames, rng, lq_size):
            return (255 - frame for frame in frames)

Frames are (h, w, 3) float32 RGB from 0 to 255 and pass through a chain one by one: the length of a clip costs no
memory. Everything random is drawn from the generator that a step is given.
"""

from iart.degradations.chain import (
    FRAME_KINDS,
    Chain,
    build_chain,
    chain_names,
    check_chain,
    load_chain,
)
from iart.degradations.step import Image, Step

__all__ = [
    'FRAME_KINDS',
    'Chain',
    'Image',
    'Step',
    'build_chain',
    'chain_names',
    'check_chain',
    'load_chain',
]
