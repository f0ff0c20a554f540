"""The network specification, word for word, in the plainest PyTorch: what the fast implementation is compared with,
never what runs.
"""
