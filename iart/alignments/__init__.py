"""Alignments: modules that resample the feature of a neighboring frame at the positions of the current frame.

One file per alignment, named ``*_alignment.py`` and registered with ``ALIGNMENT_REGISTRY.register(suffix=SUFFIX)``;
the YAML names it under ``network_g.alignment.type``. The contract::

    class MyAlignment(nn.Module):
        def __init__(self, *, channels: int, num_heads: int, ...further keys of the YAML...): ...
        def forward(self, source, current, flow) -> Tensor: ...

``source`` and ``current`` are (n, channels, h, w) features, ``flow`` is (n, 2, h, w) float32 in pixels with
``aligned(p) = source(p + flow(p))``; the result is (n, channels, h, w). One module serves all passes and both orders
of propagation. An alignment that computes something from the source alone may do so in ``prepare(source)``, which is
called once per source; ``forward`` then receives its result in place of ``source``. On a GPU both orders are aligned
in one call of 2n clips, so clips must not influence each other; an alignment with ``prepare`` offers ``join(sources)``
for it, which joins several results along the batch. An alignment that weighs taps may
offer ``tap_weights(source, current, flow)`` → (n, heads, window², h, w), which reports display.

Attributes that a network reads:

- ``trains_flow``: false if no gradient reaches the flow; the network then freezes its flow estimator. Default true.
- ``starts_neutral``: true if the alignment starts as plain bilinear warping, so that weights trained with the warp
  load without it. Default false.
- ``joint``: true if it takes both neighbors of second-order propagation in one call, ``forward(source, current, flow,
  source2, flow2)``; the network then fuses two frames instead of three. Default false.

With s = p + flow(p), and parameters counted at C = 60:

================================  =================================================  ==========  ==============
alignment                         aligned(p)                                         parameters  paper
================================  =================================================  ==========  ==============
``NoAlignment``                   source(p)                                          0           –
``FlowWarpAlignment``             source(s), nearest, bilinear or bicubic            0           section 3.3
``PatchAlignment``                source(round(p + mean flow of p's patch))          0           table 1 (PSRT)
``Nearest4Alignment``             1×1 convolution of the four pixels around s        14,460      –
``DeformableConvAlignment``       3×3 convolution at s + learned offsets             250,962     table 1 (FGDC)
``DeformableAttentionAlignment``  attention over nine pixels at s + learned offsets  213,424     table 1 (FGDA)
``ImplicitAlignment``             attention over the pixels around s, with codes     10,980      section 3.2
================================  =================================================  ==========  ==============
"""
