"""`spec.hubble.export`: which flows Hubble writes to files on the nodes. Pydantic models.

Cilium takes a wrong filter with one line in an agent's log and exports nothing from then on. So a filter has typed
fields here, each as narrow as Hubble's own parser (cilium's pkg/hubble/filters), and the API server refuses the rest.
"""

import ipaddress
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from cnichain.api.model import SPEC_CONFIG

POD_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[-a-z0-9.]*$"
LABEL_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_./:]*[A-Za-z0-9])?(=([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?)?$"
ADDRESS_PATTERN = r"^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$"


def _address(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an IP address nor a CIDR") from error
    return text


Pod = Annotated[str, Field(pattern=POD_PATTERN, max_length=317)]
"""`namespace/` for all pods of a namespace, or `namespace/beginning-of-the-name`."""
Label = Annotated[str, Field(pattern=LABEL_PATTERN, max_length=317)]
"""`key` or `key=value`."""
Address = Annotated[str, Field(pattern=ADDRESS_PATTERN, max_length=49), AfterValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Model(BaseModel):
    model_config = SPEC_CONFIG


class ExportProfile(StrEnum):
    """Which flows are exported to files on the node for audit."""

    OFF = "off"
    DENIED = "denied"
    VERDICTS = "verdicts"
    ALL = "all"


class Protocol(StrEnum):
    """Protocols that Hubble's filter knows in every minor from 1.17 on."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    DNS = "dns"
    HTTP = "http"


class Direction(StrEnum):
    """Direction of a flow as the pod sees it."""

    INGRESS = "INGRESS"
    EGRESS = "EGRESS"


class FlowFilter(_Model):
    """Flows by where they come from and go to. Every field that is given must match; one entry of it is enough."""

    model_config = {**SPEC_CONFIG, "json_schema_extra": {"minProperties": 1}}

    source_pod: Annotated[list[Pod] | None, Field(min_length=1, max_length=32)] = None
    """`namespace/`, or `namespace/beginning-of-the-pod's-name`."""
    destination_pod: Annotated[list[Pod] | None, Field(min_length=1, max_length=32)] = None
    """`namespace/`, or `namespace/beginning-of-the-pod's-name`."""
    source_label: Annotated[list[Label] | None, Field(min_length=1, max_length=32)] = None
    """`key` or `key=value`."""
    destination_label: Annotated[list[Label] | None, Field(min_length=1, max_length=32)] = None
    """`key` or `key=value`."""
    source_ip: Annotated[list[Address] | None, Field(alias="sourceIP", min_length=1, max_length=32)] = None
    """Addresses or CIDRs."""
    destination_ip: Annotated[list[Address] | None, Field(alias="destinationIP", min_length=1, max_length=32)] = None
    """Addresses or CIDRs."""
    destination_port: Annotated[list[Port] | None, Field(min_length=1, max_length=32)] = None
    """Port numbers."""
    protocol: Annotated[list[Protocol] | None, Field(min_length=1, max_length=5)] = None
    """Protocols; dns and http where Cilium parses them."""
    traffic_direction: Annotated[list[Direction] | None, Field(min_length=1, max_length=2)] = None
    """INGRESS or EGRESS, as the pod sees it."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a filter without a field matches every flow: name one, or leave the filter out")
        return self


class Rotation(_Model):
    """The exported files on a node. They lie below /var/run, which is in memory on most nodes."""

    max_size_mb: Annotated[int, Field(alias="maxSizeMB", ge=1, le=100)] = 10
    """MB of a file before it is rotated. Left out: 10."""
    max_files: Annotated[int, Field(ge=1, le=9)] = 5
    """Rotated files that are kept beside the current one. Left out: 5."""


class HubbleExport(_Model):
    """Flow export for audit."""

    profile: ExportProfile = ExportProfile.OFF
    """Which flows are written to files on the node: denied ones, one record for each policy verdict and whatever is
    denied, or all. Left out: off."""
    allow: Annotated[list[FlowFilter], Field(max_length=16)] = []
    """Only flows that one of these filters matches. Left out: every flow of the profile."""
    deny: Annotated[list[FlowFilter], Field(max_length=16)] = []
    """No flow that one of these filters matches."""
    rotation: Rotation = Rotation()
    """Size and number of the files."""
