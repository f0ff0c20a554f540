"""Alignments: how a neighbouring frame's feature is brought to where the current frame needs it.

One file per alignment, named ``*_alignment.py`` and registered with ``ALIGNMENT_REGISTRY.register(suffix=SUFFIX)``;
the YAML names it under ``network_g.alignment.type``. The contract::

    class MyAlignment(nn.Module):
        def __init__(self, *, channels: int, num_heads: int, ...own keys of the YAML...): ...
        def forward(self, source, current, flow) -> Tensor: ...

``source`` and ``current`` are (n, channels, h, w) features, ``flow`` is (n, 2, h, w) float32 in pixels with
``aligned(p) = source(p + flow(p))``; the result is (n, channels, h, w). One module serves all passes and both orders
of propagation. An alignment that computes something of the source alone may put it in ``prepare(source)``: it is
called once per source, and ``forward`` then gets its result in place of ``source``.
An alignment that weighs taps may offer ``tap_weights(source, current, flow)`` → (n, heads, window², h, w): reports show
it.
"""
