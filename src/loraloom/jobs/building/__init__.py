"""The stages that make the playground's weights, each seeded, checkpointed and resumable."""
