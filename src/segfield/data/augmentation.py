"""AugmentationConfig: how training images are changed at random. Free of torch, for the command line reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segfield.errors import SettingError


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes to each training image. Strengths of 0 switch a change off."""

    flip: bool = True
    """Mirror left-right, every second image."""
    vertical_flip: bool = False
    """Mirror top-bottom, every second image."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest magnification, drawn evenly."""
    crop: tuple[int, int] | None = None
    """Height and width of what is cut out after scaling, pixels; the image's own size where not given."""
    size: float = 1.0
    """Everything this many times as large: crop, magnification and elastic are multiplied; 0.5 trains at half the resolution."""
    whole: bool = False
    """Whole images instead of crops; where they differ in size, with batch_size 1 only."""
    rotate: float = 0.0
    """Largest rotation to either side, degrees."""
    elastic: float = 0.0
    """Elastic deformation: standard deviation of the displacements, pixels of the crop (10 in the U-Net paper)."""
    elastic_grid: int = 3
    """Displacements are drawn on a grid of this many points a side."""
    elastic_probability: float = 1.0
    """Share of the images that are deformed, where elastic is on."""
    brightness: float = 0.2
    """Values are multiplied by 1 ± this."""
    contrast: float = 0.2
    """Distances from the image's mean grey are multiplied by 1 ± this."""
    saturation: float = 0.2
    """Distances from each pixel's own grey are multiplied by 1 ± this (three bands only)."""
    hue: float = 0.0
    """Largest turn of the colour circle to either side, 0 to 0.5 (three bands only)."""
    grey: float = 0.0
    """Share of the images that lose their colour (three bands only)."""
    blur: float = 0.0
    """Share of the images that are blurred."""
    blur_sigma: tuple[float, float] = (0.1, 1.5)
    """Smallest and largest sigma of the blur, pixels."""
    noise: float = 0.0
    """Largest standard deviation of the noise, as a share of the value range."""

    def __post_init__(self) -> None:
        for name in ("scale", "blur_sigma"):
            low, high = (float(end) for end in getattr(self, name))
            if not 0 < low <= high < math.inf:
                raise SettingError(
                    f"augment.{name} is {low:g},{high:g}; give two numbers above 0, the smaller one first"
                )
            object.__setattr__(self, name, (low, high))
        if not 0 < self.size <= 4:
            raise SettingError(f"augment.size is {self.size:g}; give a number above 0, at most 4, e.g. 0.5")
        if self.crop is not None:
            height, width = (int(side) for side in self.crop)
            if height < 1 or width < 1:
                raise SettingError(f"augment.crop is {height},{width}; give height and width in pixels, e.g. 320,416")
            object.__setattr__(self, "crop", (height, width))
        if self.whole and self.crop is not None:
            raise SettingError(f"augment.whole and augment.crop {self.crop} are both given; give one of them")
        for name, highest in _HIGHEST.items():
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise SettingError(f"augment.{name} is {value:g}; it must lie between 0 and {highest:g}")
        if self.elastic_grid < 2:
            raise SettingError(
                f"augment.elastic_grid is {self.elastic_grid}; a grid has 2 points a side or more, e.g. 3"
            )

    def sized(self, side: int) -> int:
        """A side of a crop in pixels, as `size` has it: whole sixteens, which networks need not pad much."""
        return side if self.size == 1 else max(16, round(side * self.size / 16) * 16)


_HIGHEST = {
    "rotate": 180.0,
    "elastic": 1e4,
    "elastic_probability": 1.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "hue": 0.5,
    "grey": 1.0,
    "blur": 1.0,
    "noise": 1.0,
}
