"""Looks a machine over: what is here, what of edge-arm works, the command for what does not."""
