"""The jobs on adapter files: converted, merged, resized, extracted, fused, compared."""
