"""``iart demo``: the shipped network scored, a clip upscaled, a network trained briefly, one picture of it all."""
