"""Segmentations of frames not yet seen, from the last frames of a video (Luc, Neverova, Couprie, Verbeek, LeCun 2017)."""
