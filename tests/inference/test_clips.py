"""Settings of videos, and what of the kinds of output they can have."""

import pytest

from segfield.errors import SettingError
from segfield.inference.clips import ClipSettings, checked_clip_kinds


def test_what_can_be_saved_of_videos_is_told_from_what_cannot():
    assert checked_clip_kinds(["overlay", "ids"], images_too=False) == (["overlay", "ids"], [])
    assert checked_clip_kinds(["polygons", "ids"], images_too=True) == (["ids"], ["polygons"])


@pytest.mark.parametrize("kinds", [["entropy"], ["entropy", "overlay"]])
def test_videos_alone_have_nothing_of_images(kinds):
    with pytest.raises(SettingError, match=r"entropy.*images alone.*ids, overlay"):
        checked_clip_kinds(kinds, images_too=False)


def test_images_beside_them_do_not_help_where_nothing_is_left():
    with pytest.raises(SettingError, match=r"entropy and polygons.*images alone"):
        checked_clip_kinds(["entropy", "polygons"], images_too=True)
    with pytest.raises(SettingError, match="did you mean palette"):
        checked_clip_kinds(["pallete"], images_too=True)


def test_only_what_differs_from_the_defaults_is_a_setting_of_the_results():
    """So that results of images alone may be gone on with when a video joins them."""
    assert ClipSettings().as_settings() == ClipSettings(consistency=False).as_settings() == {}
    assert ClipSettings(tile=512).as_settings() == {"video_tile": 512}


def test_an_impossible_smoothing_is_refused_before_any_work():
    pytest.importorskip("cv2")
    assert ClipSettings(smoothing=0.0).as_settings() == {"smoothing": 0.0}
    with pytest.raises(SettingError, match="give 0"):
        ClipSettings(smoothing=1.0)
