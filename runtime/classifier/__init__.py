"""The model of a bundle that suits this machine, opened and ready to answer."""
