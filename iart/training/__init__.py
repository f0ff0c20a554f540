"""Training: the trainer, its state, checkpoints, schedules, logs and validation."""
