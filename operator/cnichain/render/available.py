"""What spec may ask for and this release does not do: refused by name, never silently left out. Pure."""

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason


def check_available(spec: CNIChainSpec) -> None:
    """Raises ChainError(FeatureNotAvailable) that names every field which asks for what this release lacks."""
    wanted = [
        (spec.primary.plugin is not PrimaryPlugin.AWS_VPC_CNI, f"spec.primary.plugin={spec.primary.plugin.value}"),
    ]
    refused = [field for asked, field in wanted if asked]
    if refused:
        raise ChainError(Reason.FEATURE_NOT_AVAILABLE, f"not available in this release: {', '.join(refused)}.")
