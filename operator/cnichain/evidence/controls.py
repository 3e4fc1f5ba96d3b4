"""Which controls of audit frameworks the evidence supports, and with what. Pure data.

"Supports evidence for": whether a control is met depends on people and procedures that no program sees.
"""

from typing import NamedTuple


class Control(NamedTuple):
    """framework, id: as its publisher names it. asks: in a few words of our own. sections: ids of the report's."""

    framework: str
    id: str
    asks: str
    sections: tuple[str, ...]


CONTROLS = (
    Control("PCI DSS 4.0", "1.2", "network security controls are configured and maintained", ("chain", "policies")),
    Control("PCI DSS 4.0", "1.4", "connections between trusted and untrusted networks are controlled", ("policies",)),
    Control("PCI DSS 4.0", "10.2", "audit logs record what is needed to see anomalies", ("export", "verdicts")),
    Control("PCI DSS 4.0", "10.4", "audit logs are reviewed", ("export",)),
    Control("PCI DSS 4.0", "11.4.5", "segmentation is tested", ("policies", "verdicts", "gaps")),
    Control("SOC 2", "CC6.6", "access from outside the system's boundaries is restricted", ("policies", "nodes")),
    Control("SOC 2", "CC7.2", "components are monitored for anomalies", ("verdicts", "export", "gaps")),
    Control("NIST SP 800-53", "AC-4", "flows of information are enforced by policy", ("policies", "nodes", "gaps")),
    Control("NIST SP 800-53", "SC-7", "boundaries are monitored and protected", ("policies", "nodes", "verdicts")),
    Control("NIST SP 800-53", "AU-2", "the events to log are chosen", ("export",)),
    Control("NIST SP 800-53", "AU-3", "log records say what, when, where and who", ("export",)),
    Control("NIST SP 800-53", "AU-12", "the system generates the log records", ("export", "verdicts", "nodes")),
    Control("HIPAA", "164.312(b)", "activity in systems with health data is recorded and examined", ("export", "gaps")),
)
