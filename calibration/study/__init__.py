"""How many faces a calibration needs, and whether those of another data set would do."""
