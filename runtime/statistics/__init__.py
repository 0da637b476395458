"""The statistics of paired predictions, each with its formula and its source."""
