"""Images without masks: what they add where only a share of the training images has a mask, at an equal number of steps.

CamVid and Stanford Background (first fold of the images at hand), one of 16, 8, 4 and 1 images with its mask; masks alone,
with the adversary that chooses pixels to trust (Hung et al. 2018), and by consistency of a weak and a strong view (FixMatch
with CutMix); several seeds, each drawing other masks. The last weights are scored, so that the held-out images choose nothing.
The value is the gain in mIoU of the better of the two ways over masks alone at one eighth, the mean over data sets and seeds.

    python benchmarks/unlabelled.py --weights FILE_OF_MOBILENETV2 --out FOLDER
    python benchmarks/unlabelled.py --data stanford --shares 8 --seeds 0,1,2 --steps 400 --out FOLDER

A second call with the same --out goes on; rows that are not measured now are kept from the last result. `--quick` takes a few
images and steps and keeps nothing.
"""

from __future__ import annotations

from typing import Any

WAYS: dict[str, dict[str, Any]] = {
    "masks alone": {},
    "adversary": {
        "adversary": "fully_convolutional", "unlabelled": "unlabelled",
        "adversarial": {"weight": 0.01, "stride": 1}, "semi_supervised": {"weight": 0.1},
    },
    "consistency": {"unlabelled": "unlabelled"},
}  # fmt: skip
GOAL = 3.0


def main() -> None:
    from label_shares import arguments, gains, measured_rows, spread
    from record import record

    options = arguments(__doc__ or "", "unlabelled", "16,8,4,1", ",".join(WAYS))
    rows = measured_rows("unlabelled", options, settings_of)
    means = {f"{place} {way}": spread(values) for (place, way), values in gains(rows, "masks alone").items()}
    eighth = {name: found["mean"] for name, found in means.items() if " 1/8 " in name}
    by_way = {way: [gain for name, gain in eighth.items() if name.endswith(way)] for way in WAYS}
    value = max((sum(values) / len(values) for values in by_way.values() if values), default=0.0)
    record(
        "unlabelled",
        value,
        "mIoU points gained at one eighth of the masks",
        "the same network and steps on the masks alone",
        GOAL,
        value >= GOAL,
        {"rows": rows, "gains": means},
        quick=options.quick,
    )


def settings_of(way: str, share: int) -> dict[str, Any]:
    """What a way adds to a recipe; where every image has its mask, they are taken without once more."""
    settings = WAYS[way]
    return {**settings, "unlabelled": "train"} if "unlabelled" in settings and share == 1 else settings


if __name__ == "__main__":
    main()
