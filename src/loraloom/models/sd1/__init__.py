"""Stable Diffusion 1.x and everything of its architecture."""
