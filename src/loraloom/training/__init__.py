"""Training: K adapters in one loop over a frozen base, each as if it were alone."""
