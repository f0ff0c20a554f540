"""Frame stores, checks before training, transforms, the resumable sampler and the data sets (``*_dataset.py``)."""
