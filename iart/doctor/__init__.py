"""``iart doctor``: checks of this installation and of its GPUs, each in a process of its own under a time limit."""
