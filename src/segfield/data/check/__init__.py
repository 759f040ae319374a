"""What is wrong with a data set, before any training: every sample opened once, the facts pooled, problems named."""

from segfield.data.check.problem import Problem
from segfield.data.check.report import CheckReport, check_dataset
from segfield.data.check.sample import SampleFacts, examine

__all__ = ["CheckReport", "Problem", "SampleFacts", "check_dataset", "examine"]
