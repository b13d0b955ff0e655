"""From a folder of pictures and words to what a training step is fed."""
