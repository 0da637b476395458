"""How fast, how steady and at what energy the models of a bundle run on this machine."""
