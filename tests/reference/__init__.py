"""The network specification, word for word, in plain PyTorch, to compare the fast implementation with; never run."""
