"""How much padding a car_size needs: a piece is a power of two, and a CAR rarely is."""

from ptolemy_core import commp
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile

_BAD_PADDING = 1 / 8
"""Share of padding in a piece above which a car_size gets a warning."""


def padding_warning(car_size: int, profile: Profile = UNIXFS_V1_2025) -> str | None:
    """A warning about a car_size (GiB) whose pieces need much padding; None if it is fine."""
    waste = _waste(car_size, profile)
    if waste <= _BAD_PADDING:
        return None
    piece = commp.piece_size(car_size * profile.size_unit) // profile.size_unit
    better = piece - 1 if piece - 1 > car_size else 2 * car_size + 1
    return (
        f"car_size={car_size} makes {piece} GiB pieces that are {waste:.0%} padding; "
        f"car_size={better} has {_waste(better, profile):.0%}"
    )


def _waste(car_size: int, profile: Profile) -> float:
    size = car_size * profile.size_unit
    return 1 - size / commp.piece_size(size)
