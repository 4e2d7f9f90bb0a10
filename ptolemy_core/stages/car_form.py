"""A container's content as it is in its CAR: of an encrypted project with encrypted names, sizes and ranges."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog.containers import Content
from ptolemy_core.encryption import Form
from ptolemy_core.layout import Items
from ptolemy_core.source import Files, Inputs, Stamps
from ptolemy_core.source.encrypted import EncryptedSource, Original

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


@dataclass(frozen=True)
class CarForm:
    """What a build lays out and reads.

    Attributes:
        items: of the container, in path order of the CAR.
        stamps: of their files, with the sizes that these have in CARs.
        targets: of links, by item index.
        cipher: of the project; None if it isn't encrypted.
        originals: of all entries, by their paths in the CAR; empty if the project isn't encrypted.
    """

    items: Items
    stamps: Stamps
    targets: dict[int, bytes]
    cipher: "ProjectCipher | None" = None
    originals: dict[bytes, Original] = field(default_factory=dict)

    def files(self, source: Files) -> Files:
        """The source as the CAR has it."""
        if self.cipher is None:
            return source
        return EncryptedSource(source, self.cipher, self.originals)

    def inputs(self, source: Files) -> Inputs:
        """What a build reads from a project's source."""
        return Inputs(self.files(source), self.items, self.stamps, self.targets)


def in_car(content: Content, cipher: "ProjectCipher | None") -> CarForm:
    """The content of a container as it is in its CAR."""
    items, stamps, targets = content.items, content.stamps, content.targets
    if cipher is None:
        return CarForm(items, stamps, targets)
    form = cipher.form
    car_paths = [cipher.car_path(path) for path in items.paths]
    starts, lengths = form.encrypted(items.kinds, stamps.sizes, items.starts, items.sizes)
    return CarForm(
        Items(car_paths, items.kinds, lengths, starts, items.shards),
        Stamps(form.sizes(items.kinds, stamps.sizes), stamps.tokens, stamps.strong),
        {k: cipher.car_target(car_paths[k], target) for k, target in targets.items()},
        cipher,
        {
            car_path: Original(path, car_path, header)
            for car_path, path, header in zip(
                car_paths, items.paths, content.headers or [None] * len(items), strict=True
            )
        },
    )


def in_catalog(form: Form, items: Items, wholes: NDArray[np.int64]) -> Items:
    """Items with the ranges that the catalog has: of the plain files, whose sizes are `wholes`."""
    if not form.files:
        return items
    starts, lengths = form.plain(items.kinds, wholes, items.starts, items.sizes)
    return Items(items.paths, items.kinds, lengths, starts, items.shards)
