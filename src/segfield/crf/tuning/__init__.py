"""What `segfield.crf.tune` is made of: search space, trials, cross-validation, measures, page."""
