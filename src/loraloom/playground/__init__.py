"""The playground: an embedded world of drawn scenes with known truth."""
