"""Images that several independent readers are asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images_util import makefs, standard_tree

#: makefs_image(version, order, bsize) -> an image of the standard tree
MakefsImage = Callable[[int, str, int], Path]


@pytest.fixture(scope="session")
def makefs_image(tmp_path_factory: pytest.TempPathFactory) -> MakefsImage:
    directory = tmp_path_factory.mktemp("oracle")
    made: dict[tuple[int, str, int], Path] = {}

    def image(version: int, order: str, bsize: int) -> Path:
        key = (version, order, bsize)
        if key not in made:
            tree = directory / "tree"
            if not tree.exists():
                standard_tree(tree)
            made[key] = makefs(
                tree, directory / f"{version}{order}{bsize}", version, order, bsize, bsize // 8
            )
        return made[key]

    return image
