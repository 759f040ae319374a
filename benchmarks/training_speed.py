"""Images a second in training: segfield's step and batches against a plain loop of the usual kind, on the same machine.

Both train DeepLabV3+ on MobileNetV2 (11 classes, crops of 320×416, batches of 8, AdamW, bfloat16 autocast, channels-last), on
the same images of 360×480 with the same kinds of augmentation: horizontal flip, scale, crop, colour. The plain loop is what a
tutorial has: PNG files decoded by a torch DataLoader with one worker, torchvision transforms v2, segmentation-models-pytorch's
network and its cross-entropy (SoftCrossEntropyLoss with smooth_factor 0). The images are drawn scenes, so that
nothing has to be downloaded. Turns alternate, in processes of their own; the value is the ratio of the medians.
`--quick` takes small crops and few steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import elapsed

GOAL = 1.3
MODEL, OPTIONS = "deeplabv3plus:mobilenetv2_100", {"pad_type": "same"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small crops, few steps; the number is not kept")
    parser.add_argument(
        "--turn", choices=["segfield", "plain", "plain32"], help="(inner) one measurement in this process"
    )
    parser.add_argument("--data", help="(inner) the folder of images and masks")
    parser.add_argument("--steps", type=int, default=12, help="(inner) steps that are timed")
    parser.add_argument("--beside", type=int, help="alone and beside so many busy processes: training_beside.py")
    parser.add_argument("--lower", action="store_true", help="these at lower priority")
    parser.add_argument("--crop", type=int, nargs=2, default=[320, 416], help="(inner) crop, pixels")
    options = parser.parse_args()
    if options.turn:
        turn = {"segfield": ours, "plain": plain, "plain32": plain32}[options.turn]
        print(json.dumps(turn(Path(options.data), options.steps, tuple(options.crop))))
        return
    if options.beside:
        import training_beside

        training_beside.measure(options.beside, options.lower, options.quick)
        return
    from record import record

    rates: dict[str, list[float]] = {"segfield": [], "plain": [], "plain32": []}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        count, size = (12, (96, 128)) if options.quick else (64, (360, 480))
        write_images(data, count, size)
        turns, steps, crop = (1, 2, (64, 96)) if options.quick else (3, 8, (320, 416))
        for turn in range(turns):
            for name in rates if turn == 0 else ("segfield", "plain"):
                rate = run_turn(name, data, steps, crop)
                rates[name].append(rate)
                print(f"{name:9s} {rate:.2f} images/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["segfield"] / medians["plain"]
    record(
        "training_speed",
        ratio,
        "x",
        f"plain PyTorch loop, bfloat16, channels-last, {medians['plain']:.2f} images/s",
        GOAL,
        ratio >= GOAL,
        {
            "images_a_second": rates,
            "medians": medians,
            "ratio_to_the_plain_loop_in_float32": medians["segfield"] / medians["plain32"],
            "crop": crop,
            "batch": 8,
        },
        quick=options.quick,
    )


def write_images(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Drawn scenes as PNG files, the way a user's folder has them."""
    from segfield.data.images import write_png
    from segfield.data.scenes import draw_scene

    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for seed in range(count):
        image, labels = draw_scene(size, seed)
        write_png(folder / "images" / f"{seed:03}.png", image)
        write_png(folder / "masks" / f"{seed:03}.png", labels)


def run_turn(name: str, data: Path, steps: int, crop: tuple[int, int]) -> float:
    command = [sys.executable, __file__, "--turn", name, "--data", str(data), "--steps", str(steps)]
    done = subprocess.run([*command, "--crop", *map(str, crop)], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def ours(data: Path, steps: int, crop: tuple[int, int]) -> float:
    """segfield's own loop, through `Fit`, as `segfield train` runs it."""
    from segfield.openmp import let_waiting_threads_sleep

    let_waiting_threads_sleep()
    from segfield.data.augmentation import AugmentationConfig
    from segfield.training.loop import Fit
    from segfield.training.recipe import Recipe

    recipe = Recipe(
        data=f"folder:{data}",
        out=str(data / "run"),
        model=MODEL,
        weights="none",
        options=OPTIONS,
        epochs=1000,
        precision="bf16-mixed",
        device="cpu",
        augment=AugmentationConfig(crop=crop),
    )
    fit = Fit(recipe, None)
    batches = fit.batches.steps(0, steps + 2)
    for _ in range(2):
        fit._step(iter([next(batches)]))
    began = time.perf_counter()
    for _ in range(steps):
        fit._step(iter([next(batches)]))
    return 8 * steps / elapsed(began)


def plain(data: Path, steps: int, crop: tuple[int, int]) -> float:
    return plain_loop(data, steps, crop, low_precision=True)


def plain32(data: Path, steps: int, crop: tuple[int, int]) -> float:
    return plain_loop(data, steps, crop, low_precision=False)


def plain_loop(data: Path, steps: int, crop: tuple[int, int], low_precision: bool) -> float:
    """A training script of the usual kind; float32 without channels-last, or bfloat16 autocast with it."""
    import segmentation_models_pytorch as smp
    import torch
    from torch.utils.data import DataLoader

    layout = torch.channels_last if low_precision else torch.contiguous_format
    network = smp.create_model(
        "deeplabv3plus", encoder_name="tu-mobilenetv2_100", encoder_weights=None, classes=11, **OPTIONS
    ).to(memory_format=layout)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    criterion = smp.losses.SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)
    loader = DataLoader(
        PlainFolder(data, crop), batch_size=8, shuffle=True, num_workers=1, drop_last=True, persistent_workers=True
    )

    def batches() -> Any:
        while True:
            yield from loader

    stream = batches()
    began = 0.0
    for step in range(steps + 2):
        if step == 2:
            began = time.perf_counter()
        images, labels = next(stream)
        images = images.to(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            logits = network(images)
        loss = criterion(logits.float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return 8 * steps / elapsed(began)


class PlainFolder:
    """Images and masks decoded at each use, and torchvision's transforms."""

    def __init__(self, folder: Path, crop: tuple[int, int]) -> None:
        import torch
        from torchvision.transforms import v2

        self.images = sorted((folder / "images").iterdir())
        self.masks = folder / "masks"
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ScaleJitter(crop, (0.5, 2.0), antialias=True),
                v2.RandomCrop(crop, pad_if_needed=True, fill={"others": 0}),
                v2.ColorJitter(0.2, 0.2, 0.2),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import numpy as np
        import torch
        from PIL import Image
        from torchvision import tv_tensors

        path = self.images[index]
        image = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        mask = torch.from_numpy(np.array(Image.open(self.masks / path.name)))
        image, mask = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return image.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor).long()


if __name__ == "__main__":
    main()
