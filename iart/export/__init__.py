"""Networks as graphs for other runtimes: ONNX, and ``torch.export``."""
