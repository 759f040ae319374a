"""Whether a sentence names what it must: the setting or file, and the mend, whatever the words between them."""

from __future__ import annotations


def says(keys: str, text: str) -> bool:
    """True where the text holds the keys in their order; `` … `` stands between two of them."""
    place = 0
    for key in keys.split(" … "):
        place = text.find(key, place)
        if place < 0:
            return False
        place += len(key)
    return True
