"""Data sets on disk, read into one index, and the seeded generator of synthetic faces."""
