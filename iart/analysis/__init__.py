"""Looking at alignments: frequency response, error on exactly known flow, attention over the taps, cost.

Each module measures one thing and returns arrays; ``figures`` draws them; ``iart analyze`` writes all of it.
"""
