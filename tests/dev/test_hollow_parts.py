"""Several processes of hollow nodes: each node has one agent, whatever others there are."""

from collections import Counter

import pytest

from cnichain.dev.hollow import is_in
from cnichain.dev.manifests import node_name

NAMES = [node_name(index) for index in range(5000)]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_each_node_is_of_one_part_and_parts_are_about_as_large(parts: int) -> None:
    found = Counter((name, which) for name in NAMES for which in range(1, parts + 1) if is_in(name, (which, parts)))
    assert len(found) == len(NAMES), "a node is of no part, or of several"
    sizes = Counter(which for _, which in found)
    assert max(sizes.values()) <= 1.1 * len(NAMES) / parts, "one process would have too many open files"
