"""Names of weights: pure grammars over block and layer numbers."""
