"""The image engine as a function of torch: a batch is its images, and nothing is kept where no gradient is wanted."""

from __future__ import annotations

import numpy as np
import torch

from segfield.classes import Array
from segfield.crf.image_crf import ImageCRF
from segfield.crf.unrolled_images import unrolled_images

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = 255 * torch.rand(3, 3, 11, 14, generator=GENERATOR)
SCORES = torch.randn(3, 4, 11, 14, generator=GENERATOR)
TABLES = [-torch.eye(4)[None] + 0.2 * torch.randn(1, 4, 4, generator=GENERATOR) for _ in range(2)]


def build(image: Array, threads: int | None) -> ImageCRF:
    return ImageCRF(
        image, bilateral_sxy=5.0, bilateral_srgb=60.0, gaussian_sxy=1.0, normalization="after", threads=threads
    )


def test_a_batch_is_its_images_and_their_gradients_to_tables_add_up() -> None:
    target = torch.randn(SCORES.shape, generator=torch.Generator().manual_seed(1))
    found = []
    for part in (slice(0, 3), slice(0, 1), slice(1, 2), slice(2, 3)):
        given = [SCORES[part].clone().requires_grad_(), *(table.clone().requires_grad_() for table in TABLES)]
        (unrolled_images(IMAGES[part], *given, build, 3) * target[part]).sum().backward()  # type: ignore[no-untyped-call]
        found.append([value.grad for value in given])
    whole, *alone = found
    torch.testing.assert_close(whole[0], torch.cat([part[0] for part in alone]), rtol=1e-4, atol=1e-5)  # type: ignore[misc]
    for place in (1, 2):
        torch.testing.assert_close(whole[place], sum(part[place] for part in alone), rtol=1e-4, atol=1e-4)  # type: ignore[misc]


def test_without_gradients_the_values_are_the_same() -> None:
    with torch.no_grad():
        plain = unrolled_images(IMAGES, SCORES, *TABLES, build, 6)
    with_gradient = unrolled_images(IMAGES, SCORES.clone().requires_grad_(), *TABLES, build, 6)
    np.testing.assert_array_equal(plain, with_gradient.detach())


def test_a_retained_graph_is_gone_back_through_again() -> None:
    """Several losses of one result, each with its own backward pass."""
    given = [SCORES.clone().requires_grad_(), *(table.clone().requires_grad_() for table in TABLES)]
    refined = unrolled_images(IMAGES, *given, build, 3)
    first, second = (
        torch.autograd.grad(weight * refined.square().sum(), given, retain_graph=True) for weight in (1.0, 2.0)
    )
    for one, two in zip(first, second):
        torch.testing.assert_close(2 * one, two, rtol=1e-5, atol=1e-6)
