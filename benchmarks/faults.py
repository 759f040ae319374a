"""Forty small faults such as a maintainer makes, one in each entry, for `planted_faults.py` to plant one at a time.

They were chosen by reading the source, before looking at which test would find them.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A slip: what it is, in which file of src/segfield, the text that stands there once, and what takes its place."""

    what: str
    file: str
    old: str
    new: str


FAULTS = (
    # where samples come from
    Fault("augmentation: class 0 instead of the ignored id outside the image", "data/augment.py",
          "[(labels, self.ignored_id)]", "[(labels, 0)]"),
    Fault("forecasting: signs count in the gradient difference", "forecasting/losses.py",
          "target.diff(dim=axis).abs() - predicted.diff(dim=axis).abs()", "target.diff(dim=axis) - predicted.diff(dim=axis)"),
    Fault("augmentation: left-right and top-bottom flips on each other's axis", "data/resample.py",
          "((-1, decisions.flip), (-2, decisions.vertical_flip))", "((-2, decisions.flip), (-1, decisions.vertical_flip))"),
    Fault("colour: the hue turns the other way (a sign)", "data/colour.py",
          "[[1, 0, 0], [0, cos, sin], [0, -sin, cos]]", "[[1, 0, 0], [0, cos, -sin], [0, sin, cos]]"),
    Fault("masks: colours looked up blue first", "data/masks.py",
          "lookup[r | g << 8 | b << 16] = target", "lookup[b | g << 8 | r << 16] = target"),
    Fault("masks: of several object masks the last alone counts", "data/masks.py",
          "union |= covered", "union = covered"),
    Fault("files: written in place, not beside and renamed", "data/files.py",
          "    with replacing(path) as temporary:\n        temporary.write_bytes(data)", "    Path(path).write_bytes(data)"),
    Fault("folds: the seed lost", "data/dataset.py",
          "np.random.default_rng(seed).permutation", "np.random.default_rng().permutation"),
    # layouts
    Fault("VOC: val images stay in SBD's training split", "data/formats/voc.py",
          'sorted((sbd | set(splits.get("train", ()))) - set(splits.get("val", ())))',
          'sorted(sbd | set(splits.get("train", ())))'),
    Fault("Cityscapes: the last label id left out (an off-by-one)", "data/formats/cityscapes.py",
          "(*range(34), -1, 255)", "(*range(33), -1, 255)"),
    # losses
    Fault("Dice: ignored pixels count in the predicted mass", "losses/dice.py",
          "mass = (predicted.flatten(2) @ counted.flatten(1)[..., None])[..., 0].sum(0)",
          "mass = predicted.flatten(2).sum(2).sum(0)"),
    Fault("weighted mean: divided by the pixels, not by their weights", "losses/pixels.py",
          "/ weights.sum().clamp_min(", "/ valid.sum().to(values.dtype).clamp_min("),
    # networks
    Fault("U-Net: skips cropped at the corner, not the centre", "models/unet.py",
          "top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2", "top, left = 0, 0"),
    Fault("grid networks: interpolated by pixel areas, not corner to corner", "models/grid.py",
          'mode="bilinear", align_corners=True', 'mode="bilinear", align_corners=False'),
    Fault("DeepLab-LargeFOV: a maximum where pool5a is a mean", "models/deeplab_vgg.py",
          "nn.AvgPool2d(3, 1, padding=1)", "nn.MaxPool2d(3, 1, padding=1)"),
    Fault("FCN-8s: pool3 cropped by pool4's offset", "models/fcn.py",
          "_crop(pool3, POOL3_OFFSET, scores)", "_crop(pool3, POOL4_OFFSET, scores)"),
    # refinement
    Fault("mean field: damping keeps the new share of the old", "crf/mean_field.py",
          "(1 - damping) * updated + damping * probabilities", "damping * updated + (1 - damping) * probabilities"),
    Fault("mean field: a transpose lost in the compatibility", "crf/mean_field.py",
          "messages @ weight.T if", "messages @ weight if"),
    Fault("Gaussian along a line: its last tap left out near the start (an off-by-one)", "crf/filters/gaussian_lines.py",
          "for k in range(both + 1, right + 1):", "for k in range(both + 1, right):"),
    Fault("lattice: the blur forgets the neighbour at a chain's end", "crf/filters/lattice_rows.py",
          "store(rows, row * stride, add(here, multiply(half, previous)))", "store(rows, row * stride, here)"),
    Fault("pydensecrf: the uniform share not divided by the classes", "crf/pydensecrf/utils.py",
          "+ (1 - scale) / len(probabilities)", "+ (1 - scale)"),
    # evaluation
    Fault("scores: precision over the truth (a copy of recall)", "evaluation/scores.py",
          "precision=tuple(ratio(hit, predicted).tolist())", "precision=tuple(ratio(hit, truth).tolist())"),
    Fault("confusion: the last pixel left out", "evaluation/confusion.py",
          "for pixel in range(64 * blocks, truth.size):", "for pixel in range(64 * blocks, truth.size - 1):"),
    Fault("calibration: ignored pixels counted", "evaluation/calibration.py",
          "            if labels[y, x] == ignored_id:\n                continue\n            which", "            which"),
    Fault("bootstrap: the two systems drawn apart, not paired", "evaluation/bootstrap.py",
          "_resampled(second, resamples, seed)", "_resampled(second, resamples, seed + 1)"),
    # prediction
    Fault("tiles: the margin counts in the blend", "inference/tiles.py",
          "(distance - margin) / (overlap - 2 * margin)", "distance / overlap"),
    Fault("test-time augmentation: a flip not undone", "inference/augmented.py",
          "_back_to(probabilities.flip(axes) if axes else probabilities, tiles)", "_back_to(probabilities, tiles)"),
    Fault("video: the flow's columns read as rows", "inference/smoothing.py",
          "dtype=flow.dtype)[:, None] + flow[..., 1]", "dtype=flow.dtype)[:, None] + flow[..., 0]"),
    # what is made of it
    Fault("segmenter file: mean and std exchanged", "segmenter.py",
          'Scaling(tuple(document["scaling"]["mean"]), tuple(document["scaling"]["std"]))',
          'Scaling(tuple(document["scaling"]["std"]), tuple(document["scaling"]["mean"]))'),
    Fault("export: a bracket lost in the scaling", "exported.py",
          "(image - self.mean) / self.std", "image - self.mean / self.std"),
    Fault("segmentation: entropy not divided by log K", "segmentation.py",
          'np.einsum("k...,k...->...", p, logarithms) / math.log(len(p))', 'np.einsum("k...,k...->...", p, logarithms)'),
    Fault("polygons: GeoJSON's rings not closed", "polygons.py",
          "for point in [*ring, ring[0]]]", "for point in ring]"),
    # training
    Fault("schedules: the warm-up's end not counted from", "training/schedules.py",
          "t = (progress - warmup) / (1 - warmup)", "t = progress"),
    Fault("running average: slow from the first step", "training/ema.py",
          "weight = 1 - min(self.decay, (1 + step) / (10 + step))", "weight = 1 - self.decay"),
    Fault("optimiser: biases and norms decay as well", "training/optimiser.py",
          "decay = recipe.weight_decay if decays else 0.0", "decay = recipe.weight_decay"),
    Fault("batches: an image's crop the same in every epoch", "training/batches.py",
          "seed = item_seed(self.stream.seed, position)", "seed = item_seed(self.stream.seed, index)"),
    Fault("loop: with keep last, a worse segmenter is not saved", "training/loop.py",
          'if best or self.recipe.keep == "last":', "if best:"),
    Fault("resume: the optimiser's state not laid out like its parameters", "training/resume.py",
          "_lay_out_like_parameters(optimiser)\n", "pass\n"),
    # commands
    Fault("evaluate: the scales asked for are dropped", "commands/evaluate.py",
          "scales=tuple(scales or (1.0,)),", "scales=(1.0,),"),
    Fault("doctor: an extra that is missing counts as fatal", "doctor/diagnosis.py",
          'return self.needed and self.state in ("missing", "broken")', 'return self.state in ("missing", "broken")'),
)  # fmt: skip
