"""Pictures, video and cameras to labelled faces: the pipeline and what it writes."""
