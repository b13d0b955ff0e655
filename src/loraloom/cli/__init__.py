"""The command line: renders the options of jobs as flags, and their events as text."""
