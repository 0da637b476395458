"""Fine-tuning with rounding in the loop, for an INT8 that ranges alone do not make good enough."""
