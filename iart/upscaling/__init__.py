"""Videos and folders of frames, enlarged by a network: decoded and encoded as a stream, in segments that survive an
interruption.
"""
