"""From a face index to a checkpoint."""
