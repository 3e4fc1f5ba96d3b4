"""What the checks look at: what is wanted, and what the cluster is. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.catalogue.model import Catalogue, PrimaryRule
from cnichain.preflight.gathered import Gathered, NodesSeen, ReportsSeen, Unread, known
from cnichain.preflight.primary import environment_of


@dataclass(frozen=True)
class Subject:
    """primary_read: the DaemonSet of the primary CNI, None when there is none. kubernetes: the server's gitVersion."""

    spec: CNIChainSpec
    catalogue: Catalogue
    rule: PrimaryRule
    kubernetes: str
    primary_read: Mapping[str, Any] | Unread | None
    nodes_read: NodesSeen | Unread = field(default_factory=NodesSeen)
    reports_read: ReportsSeen | Unread = field(default_factory=ReportsSeen)
    gathered: Gathered = field(default_factory=Gathered)

    @property
    def primary(self) -> Mapping[str, Any] | None:
        """The DaemonSet of the primary CNI, None when there is none. Raises NotReadableError."""
        return known(self.primary_read)

    @property
    def nodes(self) -> NodesSeen:
        """All nodes, aggregated. Raises NotReadableError."""
        return known(self.nodes_read)

    @property
    def reports(self) -> ReportsSeen:
        """What the agents report, aggregated. Raises NotReadableError."""
        return known(self.reports_read)

    @property
    def where(self) -> str:
        """The primary's DaemonSet, for messages."""
        return f"DaemonSet {self.rule.namespace}/{self.rule.daemon_set}"

    def setting(self, name: str) -> str:
        """An environment variable of the primary's container, in lower case; "" when it is not set."""
        return environment_of(self.primary or {}, self.rule.container).get(name, "").lower()

    def value(self, path: str) -> Any:
        """A value of spec.cilium.values by its dotted path, None when it is not set there."""
        found: Any = self.spec.cilium.values
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found
