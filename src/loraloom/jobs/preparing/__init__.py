"""The parts of preparing styles for training."""
