"""The names in whole models' files."""
