"""Alignments: how a neighboring frame's feature is brought to where the current frame needs it.

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

``trains_flow``, an attribute, is false for an alignment that passes no gradient to the flow: its network then freezes
the flow estimator. ``starts_neutral`` is true for one that starts as plain bilinear warping: weights that were trained
with the warp load without it. ``joint`` is true for an alignment that takes both neighbors of second-order propagation
in one call, ``forward(source, current, flow, source2, flow2)``: its result takes one place of the fusion, and the
network fuses two frames instead of three.

=================================  ==========================================================  ===================
==============
alignment                          aligned(p), with s = p + flow(p)                            parameters (C = 60)
paper
=================================  ==========================================================  ===================
==============
``NoAlignment``                    source(p)                                                   0                    –
``FlowWarpAlignment``              source(s), nearest, bilinear or bicubic                     0
section 3.3
``PatchAlignment``                 source(round(p + mean flow of p's patch))                   0
table 1 (PSRT)
``Nearest4Alignment``              1×1 convolution of the four pixels around s                 14,460               –
``DeformableConvAlignment``        3×3 convolution at s + learned offsets                      250,962
table 1 (FGDC)
``DeformableAttentionAlignment``   attention over nine pixels at s + learned offsets           213,424
table 1 (FGDA)
``ImplicitAlignment``              attention over the pixels around s, position-coded          10,980
section 3.2
=================================  ==========================================================  ===================
==============
"""
