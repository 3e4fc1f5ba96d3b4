"""Identity of objects in a cluster."""

from typing import NamedTuple


class ObjectKey(NamedTuple):
    """Which object it is. namespace: empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
