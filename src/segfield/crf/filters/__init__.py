"""Gaussian filters in feature space: the linear operator K·v in exact, lattice and separable forms."""
