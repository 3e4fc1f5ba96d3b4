"""The rules by which a catalogue judges a combination. Pure."""

from cnichain.catalogue.facts import CombinationFacts
from cnichain.catalogue.model import Catalogue
from cnichain.catalogue.verdict import Verdict


def verdicts(catalogue: Catalogue, facts: CombinationFacts) -> list[Verdict]:
    """Everything the catalogue has to say about a combination, refusals first, then what is untested.

    A fact that is not known brings no verdict, or `Untested` where not knowing is itself worth a warning. Never raises
    for a version that the catalogue does not know; `Catalogue.cilium_release` does that.
    """
    del catalogue, facts
    return []
