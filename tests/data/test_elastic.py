import pytest
import torch

from segfield.data.elastic import coarse_displacements, displacement_field, interpolate_displacements


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_statistics_over_many_fields():
    fields = torch.stack([displacement_field((65, 97), 3, 10.0, generator(seed)) for seed in range(600)])
    assert fields.mean().abs() < 0.5
    # The nine points of the grid carry the normal values themselves; between them the weights are below 1.
    points = fields[:, :, ::32, ::48]
    assert points.shape == (600, 2, 3, 3)
    assert points.std().item() == pytest.approx(10, rel=0.03)
    assert 5 < fields.std().item() < 10
    rows_and_columns = torch.corrcoef(fields.transpose(0, 1).reshape(2, -1))
    assert abs(rows_and_columns[0, 1]) < 0.1


def test_field_passes_through_its_points():
    coarse = coarse_displacements(4, 5.0, generator(1))
    field = interpolate_displacements(coarse[None], (61, 91))[0]
    torch.testing.assert_close(field[:, ::20, ::30], coarse, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(61, 91), (1, 7), (40, 3)])
def test_equals_torch_bicubic_interpolation(size):
    coarse = torch.randn(2, 2, 4, 4, generator=generator(5))
    expected = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    torch.testing.assert_close(interpolate_displacements(coarse, size), expected, atol=1e-5, rtol=0)


def test_field_is_smooth():
    field = displacement_field((128, 128), 3, 10.0, generator(2))
    slope = field.diff(dim=2).abs().max()
    bend = field.diff(n=2, dim=2).abs().max()
    # 64 pixels between points a few tens of pixels apart: far less than a pixel a pixel, and hardly a kink.
    assert 0 < slope < 1.5 and bend < 0.05


def test_constant_points_shift_everything_alike():
    coarse = torch.tensor([3.0, -2.0])[None, :, None, None].expand(1, 2, 3, 3)
    field = interpolate_displacements(coarse, (20, 30))[0]
    torch.testing.assert_close(field, torch.tensor([3.0, -2.0])[:, None, None].expand(2, 20, 30))


def test_bicubic_is_the_keys_spline():
    """In one direction: Keys' cubic convolution with a = −0.75 (torch's own constant)."""
    coarse = torch.zeros(1, 2, 5, 5)
    coarse[:, :, :, 2] = 1
    row = interpolate_displacements(coarse, (5, 33))[0, 0, 0]
    distance = (torch.arange(33) / 8 - 2).abs()
    near = 1.25 * distance**3 - 2.25 * distance**2 + 1
    far = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    expected = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0))
    torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)


def test_seed_decides():
    first = displacement_field((10, 10), 3, 10.0, generator(3))
    assert torch.equal(first, displacement_field((10, 10), 3, 10.0, generator(3)))
    assert not torch.equal(first, displacement_field((10, 10), 3, 10.0, generator(4)))
