"""CRF-RNN: equal to the dense CRF at its start, right gradients to everything, and what it learns can be carried away."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segfield.crf.crf_rnn import CRFRNN
from segfield.crf.dense_crf import DenseCRF
from segfield.errors import DataError, SettingError

SIZE = (14, 17)
START = DenseCRF(bilateral_weight=3.0, bilateral_sxy=6.0, bilateral_srgb=20.0, gaussian_weight=1.5, gaussian_sxy=1.5,
                 normalization="after", iterations=5)  # fmt: skip


def problem(batch: int = 2, classes: int = 4, bands: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth images in 0..255 and noisy logits, (B, C, H, W) and (B, K, H, W)."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (batch, bands, 4, 5)).repeat(4, 2).repeat(4, 3)[..., : SIZE[0], : SIZE[1]]
    images = np.clip(coarse + random.normal(0, 8, coarse.shape), 0, 255)
    return torch.from_numpy(images).float(), torch.from_numpy(random.normal(0, 1.5, (batch, classes, *SIZE))).float()


def scrambled(layer: CRFRNN, seed: int = 0) -> CRFRNN:
    """The layer with parameters moved off their start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return layer


@pytest.mark.parametrize("normalization", ["after", "symmetric"])
@pytest.mark.parametrize("form", ["potts", "diagonal", "symmetric", "full"])
def test_at_its_start_it_is_the_dense_crf_step_for_step(normalization: Any, form: Any) -> None:
    images, logits = problem()
    for steps in (1, 2, 5):
        crf = dataclasses.replace(START, normalization=normalization, iterations=steps)
        layer = CRFRNN(4, start=crf, iterations=steps, weights=form)
        expected = crf(images.numpy(), logits.numpy())
        found = layer(images, logits).softmax(dim=1)
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=2e-6)


def test_it_runs_more_iterations_in_prediction() -> None:
    images, logits = problem()
    layer = CRFRNN(4, start=START, iterations=2, test_iterations=7).eval()
    expected = dataclasses.replace(START, iterations=7)(images.numpy(), logits.numpy())
    np.testing.assert_allclose(layer(images, logits).softmax(dim=1).detach().numpy(), expected, atol=2e-6)
    assert layer.as_dense_crf().iterations == 7


@pytest.mark.parametrize("accuracy", ["fast", "fine", "exact"])
@pytest.mark.parametrize(("form", "compatibility"), [("potts", "potts"), ("diagonal", "symmetric"), ("full", "full")])
@pytest.mark.parametrize("separate", [False, True])
def test_what_it_learned_is_a_refiner(accuracy: Any, form: Any, compatibility: Any, separate: bool) -> None:
    images, logits = problem()
    start = dataclasses.replace(START, accuracy=accuracy)
    layer = scrambled(CRFRNN(4, start=start, iterations=3, test_iterations=4, weights=form,
                             compatibility=compatibility, separate=separate)).eval()  # fmt: skip
    refiner = DenseCRF.from_dict(layer.as_dense_crf().as_dict())
    assert refiner.iterations == (3 if separate else 4)
    expected = layer(images, logits).softmax(dim=1).detach().numpy()
    # the tiled sums are exact to their epsilon, and are cut in other places on other paths
    atol = 5e-3 if accuracy == "exact" else 1e-5
    np.testing.assert_allclose(refiner(images.numpy(), logits.numpy()), expected, atol=atol)


@pytest.mark.parametrize(
    ("normalization", "separate"),
    [
        ("symmetric", True),
        ("after", False),
        ("before", True),
        *(
            pytest.param(*both, marks=pytest.mark.thorough)
            for both in [("symmetric", False), ("after", True), ("before", False)]
        ),
    ],
)
def test_all_gradients_are_those_of_finite_differences(normalization: Any, separate: bool) -> None:
    images, logits = problem(batch=1, classes=3)
    images, logits = images[..., :5, :6].double(), logits[..., :5, :6].double()
    start = dataclasses.replace(START, accuracy="exact", epsilon=1e-9, normalization=normalization, bilateral_sxy=3.0)
    start = dataclasses.replace(start, image_range=255.0)  # differences may leave 0..255
    layer = CRFRNN(3, start=start, iterations=3, separate=separate, learn_bandwidths=True)
    layer = scrambled(layer.double())
    names = [name for name, _ in layer.named_parameters()]
    assert {"bilateral_weight", "gaussian_weight", "compatibility", "bilateral_sxy", "bilateral_srgb"} < {*names}

    def function(pixels: Tensor, scores: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (pixels, scores))  # type: ignore[no-any-return]

    given = [value.detach().requires_grad_() for value in layer.parameters()]
    inputs = (images.requires_grad_(), logits.requires_grad_(), *given)
    torch.autograd.gradcheck(function, inputs, eps=1e-5, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("iterations", [1, 5, 11])
def test_the_fused_loops_have_the_gradients_of_the_plain_form(iterations: int) -> None:
    images, logits = problem(batch=3)
    layer = scrambled(CRFRNN(4, start=START, iterations=iterations))
    target = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    found = gradients(layer, images, logits, target)
    plain = gradients(
        layer, images.clone().requires_grad_(), logits, target
    )  # a gradient to the image rules the loops out
    assert plain.keys() == found.keys()
    for name, expected in plain.items():
        np.testing.assert_allclose(found[name], expected, atol=2e-5 * float(abs(expected).max()), err_msg=name)


def gradients(layer: CRFRNN, images: Tensor, logits: Tensor, target: Tensor) -> dict[str, np.ndarray]:
    """Of a linear function of the output, to the logits and every parameter that wants one."""
    layer.zero_grad()
    logits = logits.clone().requires_grad_()
    (layer(images, logits) * target).sum().backward()
    assert logits.grad is not None
    found = {"logits": logits.grad.numpy()}
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.numpy().copy()
    return found


def test_the_lattice_gives_gradients_near_those_of_the_exact_sum() -> None:
    images, logits = problem(batch=1)
    target = torch.nn.functional.one_hot(logits.argmax(1), 4).movedim(3, 1).float()
    start = dataclasses.replace(START, epsilon=1e-9)
    rough, exact = (
        gradients(scrambled(CRFRNN(4, start=dataclasses.replace(start, accuracy=accuracy))), images, logits, target)
        for accuracy in ("fine", "exact")
    )
    for name in ("logits", "bilateral_weight", "gaussian_weight", "compatibility"):
        a, b = rough[name].ravel(), exact[name].ravel()
        assert float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)) > 0.99, name


def test_bandwidths_and_learned_features_are_learned() -> None:
    images, logits = problem(batch=1)
    layer = CRFRNN(4, start=dataclasses.replace(START, accuracy="fine"), learn_bandwidths=True)
    features = images.clone().requires_grad_()
    layer(features, logits).square().mean().backward()
    assert features.grad is not None and float(features.grad.abs().max()) > 0
    for name in ("bilateral_sxy", "bilateral_srgb", "gaussian_sxy"):
        gradient = getattr(layer, name).grad
        assert gradient is not None and bool((gradient != 0).all()), name


def test_learning_recovers_what_another_crf_says() -> None:
    images, logits = problem(batch=2)
    teacher = scrambled(CRFRNN(4, start=START), seed=3)
    with torch.no_grad():
        wanted = teacher(images, logits).softmax(dim=1)
    student = CRFRNN(4, start=START)
    optimiser = torch.optim.Adam(student.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = -(wanted * student(images, logits).log_softmax(dim=1)).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    entropy = float(-(wanted * wanted.log()).sum(dim=1).mean())
    assert losses[-1] - entropy < 0.1 * (losses[0] - entropy)


def test_any_batch_gives_what_its_images_give_alone() -> None:
    images, logits = problem(batch=5)
    layer = scrambled(CRFRNN(4, start=START))
    together = layer(images, logits)
    for index in range(5):
        alone = layer(images[index : index + 1], logits[index : index + 1])
        np.testing.assert_allclose(together[index].detach(), alone[0].detach(), atol=1e-4)


def test_half_precision_logits_are_computed_in_single() -> None:
    images, logits = problem()
    layer = CRFRNN(4, start=START)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(images, logits.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(images, logits.bfloat16().float()))


KINDS = {
    "uint8": (np.uint8, 1, None),
    "12 of 16 bits": (np.uint16, 16, 4095.0),
    "16 bits": (np.uint16, 257, None),
    "floats to 1": (np.float32, 1 / 255, None),
    "floats to 255": (np.float32, 1, None),
    "int32": (np.int32, 1, None),
}


@pytest.mark.parametrize("accuracy", ["fast", "exact"])
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_every_depth_are_divided_as_by_the_dense_crf(kind: str, accuracy: Any) -> None:
    dtype, factor, white = KINDS[kind]
    images, logits = problem()
    given = (
        images.numpy().astype(np.uint8 if np.issubdtype(dtype, np.integer) else np.float32) * dtype(factor)
    ).astype(dtype)
    crf = dataclasses.replace(START, iterations=3, accuracy=accuracy, image_range=white)
    expected = np.stack([crf(image, scores) for image, scores in zip(given, logits.numpy())])
    with torch.no_grad():
        found = CRFRNN(4, start=crf, iterations=3)(torch.from_numpy(given), logits).softmax(dim=1).numpy()
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(found, expected, atol=5e-3 if accuracy == "exact" else 2e-5)


def test_each_image_of_a_batch_has_its_own_white() -> None:
    images, logits = problem()
    images[1] /= 255
    layer = CRFRNN(4)
    together = layer(images, logits)
    torch.testing.assert_close(together[1:], layer(images[1:], logits[1:]))
    torch.testing.assert_close(together[:1], layer(images[:1], logits[:1]))


def test_a_white_that_cannot_be_told_is_asked_for() -> None:
    images, logits = problem()
    with pytest.raises(DataError, match="image_range="):
        CRFRNN(4)(images - 100, logits)


def test_images_of_other_depths_and_bands() -> None:
    images, logits = problem(bands=5)
    white = dataclasses.replace(START, image_range=1000.0)
    layer = CRFRNN(4, bands=5, start=white)
    expected = CRFRNN(4, bands=5, start=START)(images, logits)
    np.testing.assert_allclose(layer(images * (1000 / 255), logits).detach(), expected.detach(), atol=1e-3)


def test_kernels_that_are_off_stay_off() -> None:
    images, logits = problem()
    layer = CRFRNN(4, start=dataclasses.replace(START, gaussian_sxy=None))
    assert not layer.gaussian_weight.requires_grad and layer.gaussian_sxy is None
    layer(images, logits).square().mean().backward()
    assert layer.as_dense_crf().gaussian_sxy is None


def test_bad_input_is_refused_in_a_sentence() -> None:
    images, logits = problem()
    with pytest.raises(SettingError, match="weights 'square' is unknown"):
        CRFRNN(4, weights="square")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="damping"):
        CRFRNN(4, start=DenseCRF(damping=0.5))
    with pytest.raises(SettingError, match=r"3 values.*4 classes"):
        CRFRNN(4, start=DenseCRF(bilateral_weight=(1.0, 2.0, 3.0)))
    with pytest.raises(SettingError, match="give 'full' weights"):
        CRFRNN(2, start=DenseCRF(bilateral_weight=((1.0, 0.0), (0.0, 1.0))), weights="diagonal")
    with pytest.raises(DataError, match="one batch and size"):
        CRFRNN(4)(images, logits[..., :-1])
    with pytest.raises(DataError, match="made for 3 and 5"):
        CRFRNN(5)(images, logits)
