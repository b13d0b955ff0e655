"""The jobs that look at training folders, and those that put them in order."""
