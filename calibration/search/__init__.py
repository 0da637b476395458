"""Which layers cost what in int8, and the fewest that have to stay in FP16."""
