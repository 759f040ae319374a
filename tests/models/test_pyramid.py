"""Any timm network as features at strides 2 … 32: its own where it has them, resampled or window by window where not."""

from __future__ import annotations

import pytest
import timm
import torch

from segfield.errors import SettingError
from segfield.models.pyramid import NetworkFacts, PyramidEncoder, _sources, network_facts


def test_stages_are_passed_on_as_the_network_gives_them() -> None:
    encoder = PyramidEncoder("test_resnet", 3).eval()
    alone = timm.create_model("test_resnet", features_only=True).eval()
    alone.load_state_dict(encoder.model.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        found, expected = encoder(image), alone(image)
    assert found[0] is image and len(found) == 6
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found[1:], expected, strict=True))
    assert encoder.window is None and encoder.exact == [True] * 5


@pytest.mark.parametrize("size", [(32, 32), (96, 160)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {}),
        ("vit_tiny_patch16_224", {"patch_size": 14, "embed_dim": 24}),
        ("test_vit_relpos", {"img_size": 64}),
        ("test_coatnet", {"img_size": 64}),
        ("test_mambaout", {}),
    ],
)
def test_every_stride_has_its_size(name: str, options: dict[str, object], size: tuple[int, int]) -> None:
    encoder = PyramidEncoder(name, 2, **options).eval()
    with torch.inference_mode():
        features = encoder(torch.randn(2, 2, *size))
    sizes = [tuple(each.shape[-2:]) for each in features]
    assert sizes == [(size[0] // stride, size[1] // stride) for stride in (1, 2, 4, 8, 16, 32)]
    assert [each.shape[1] for each in features] == encoder.out_channels
    assert all(torch.isfinite(each).all() for each in features)


def test_a_network_of_one_size_sees_window_by_window() -> None:
    encoder = PyramidEncoder("test_vit_relpos", 3, img_size=64).eval()
    assert encoder.window == (64, 64)
    image = torch.randn(1, 3, 64, 128)
    with torch.inference_mode():
        whole = encoder.maps(image)
        left, right = encoder.maps(image[..., :64]), encoder.maps(image[..., 64:])
    for all_of_it, a, b in zip(whole, left, right, strict=True):
        torch.testing.assert_close(all_of_it, torch.cat([a, b], dim=-1))


def test_patches_of_14_lie_over_the_whole_image() -> None:
    """The image is made a few percent larger, so that the first and the last patch end where it ends."""
    encoder = PyramidEncoder("vit_tiny_patch16_224", 3, patch_size=14, embed_dim=24).eval()
    assert encoder.multiple == 14 and encoder.window is None
    with torch.inference_mode():
        assert [tuple(each.shape[-2:]) for each in encoder.maps(torch.randn(1, 3, 96, 128))] == [(7, 10)] * 4


@pytest.mark.parametrize(
    ("reductions", "indices", "sources"),
    [
        ((2, 4, 8, 16, 32), [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ((4, 8, 16, 32), [0, 1, 2, 3], [None, 0, 1, 2, 3]),
        ((1, 2, 4, 8, 16, 32), [1, 2, 3, 4, 5], [0, 1, 2, 3, 4]),
        ((16, 32, 64), [0, 1], [None, 0, 0, 0, 1]),
        ((4, 8, 16), [0, 1, 2], [None, 0, 1, 2, 2]),
    ],
)
def test_which_feature_serves_which_stride(
    reductions: tuple[int, ...], indices: list[int], sources: list[int | None]
) -> None:
    facts = NetworkFacts(reductions, tuple(range(len(reductions))), len(reductions), {}, (224, 224))
    assert _sources(facts, [2, 4, 8, 16, 32], None) == (indices, sources)


def test_blocks_of_one_stride_are_evenly_spaced() -> None:
    facts = NetworkFacts((16, 16, 16), (9, 10, 11), 12, {}, (224, 224))
    assert _sources(facts, [2, 4, 8, 16, 32], None) == ([2, 5, 8, 11], [None, 0, 1, 2, 3])
    assert _sources(facts, [2, 4, 8, 16, 32], [1, 4, 7, 10])[0] == [1, 4, 7, 10]
    with pytest.raises(SettingError, match="output_indices are blocks 0 to 11"):
        _sources(facts, [2, 4, 8, 16, 32], [0, 12])


def test_dilation_where_there_is_one_and_resampling_where_not() -> None:
    image = torch.randn(1, 3, 64, 64)
    for name in ("test_resnet", "test_vit"):
        encoder = PyramidEncoder(name, 3, output_stride=16).eval()
        with torch.inference_mode():
            assert [each.shape[-1] for each in encoder(image)] == [64, 32, 16, 8, 4, 4]
    assert PyramidEncoder("test_resnet", 3, output_stride=16).exact[-1]


def test_transformers_are_asked_to_take_any_size() -> None:
    assert network_facts("test_vit").sizes == {"dynamic_img_size": True}
    assert network_facts("test_resnet").sizes == {}
