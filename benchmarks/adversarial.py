"""Adversarial training: with and without, at an equal number of steps, on CamVid and Stanford Background.

The network, its losses and steps are the same; the adversary is the one of each row. Several seeds, all masks and a share of
them. The last weights are scored, so that the held-out images choose nothing. The value is the gain in mIoU of the best row over
training without, the mean over data sets and seeds; beside it the components that each leaves, against the truth's.

    python benchmarks/adversarial.py --weights FILE_OF_MOBILENETV2 --out FOLDER
    python benchmarks/adversarial_cost.py                   # what a step costs, as a ratio to plain training

A second call with the same --out goes on; rows that are not measured now are kept from the last result. `--quick` takes a few
images and steps and keeps nothing.
"""

from __future__ import annotations

from typing import Any

WAYS: dict[str, dict[str, Any]] = {
    "without": {},
    "basic": {"adversary": "largefov", "adversarial": {"weight": 0.1}},
    "scaling": {"adversary": "largefov", "adversarial": {"weight": 0.1, "input": "scaling"}},
    "product": {"adversary": "largefov_light", "adversarial": {"weight": 0.1, "input": "product"}},
    "small field of view": {"adversary": "smallfov_light", "adversarial": {"weight": 0.1}},
    "weight 1": {"adversary": "largefov", "adversarial": {"weight": 1.0}},
    "slow turns": {"adversary": "largefov", "adversarial": {"weight": 0.1, "turns": 50, "adversary_first": 0.1}},
    "hinge": {"adversary": "largefov", "adversarial": {"weight": 0.02, "loss": "hinge", "normalise": True}},
}
PUBLISHED = {"Stanford Background, from memory": {"without": 51.3, "with": 54.3}}


def main() -> None:
    from label_shares import arguments, gains, measured_rows, spread
    from record import record

    options = arguments(__doc__ or "", "adversarial", "8,4,1", "without,basic")
    rows = measured_rows("adversarial", options, lambda way, _: WAYS[way])
    means = {f"{place} {way}": spread(values) for (place, way), values in gains(rows, "without").items()}
    by_way = {way: [found["mean"] for name, found in means.items() if name.endswith(f" {way}")] for way in WAYS}
    value = max((sum(values) / len(values) for values in by_way.values() if values), default=0.0)
    record(
        "adversarial",
        value,
        "mIoU points gained",
        "the same network and steps without an adversary; published, from memory: 51.3 to 54.3 on Stanford Background",
        0.0,
        value > 0,
        {"rows": rows, "gains": means, "published": PUBLISHED},
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
