"""Refinement by a fully connected CRF."""
