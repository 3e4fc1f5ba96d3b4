"""The adoption of another installation in a pass: found, agreed to, done, and told in status and events."""

from typing import Any, Protocol

from cnichain.api.chainstatus import AdoptionState, AdoptionStatus, CNIChainStatus, VersionsStatus
from cnichain.api.reasons import Reason
from cnichain.apply.adopt import Adopter
from cnichain.apply.engine import Live
from cnichain.apply.history import minor_of
from cnichain.plan.adoption import Survey, check, release_left, require_consent
from cnichain.plan.installation import Release
from cnichain.reconcile.look import Picture
from cnichain.render.stages import CALICO_STAGES, Stage


class Account(Protocol):
    """What a pass says of itself: the part of a Pass that is needed here."""

    status: CNIChainStatus

    def update(self, **fields: Any) -> None:
        """Set fields of the status."""

    async def say(self) -> None:
        """Write the status."""


async def agreed(this: Account, picture: Picture, live: Live, adopter: Adopter) -> Survey | None:
    """Another installation of Cilium that is about to be taken over; None when there is none. Writes nothing.

    Raises ChainError when there is one that cannot be taken over, or that spec.adopt does not agree to.
    """
    calico = [item for stage in CALICO_STAGES for item in picture.manifests[stage]]
    await adopter.refuse_others(calico, live, picture.discovery)
    cilium = [item for stage in Stage if stage not in CALICO_STAGES for item in picture.manifests[stage]]
    survey = await adopter.survey(cilium, live, picture.discovery)
    this.update(adoption=found_status(survey, this.status.adoption))
    if survey is not None:
        check(survey, cilium, picture.release.version, picture.catalogue)
        if not picture.spec.adopt:
            raise require_consent(survey)
    return survey


def first_minor_with(survey: Survey | None, first_minor: str) -> str:
    """The minor of Cilium that was installed first: that of the installation, when its agents are still another's."""
    return (minor_of(survey.version) if survey else "") or first_minor


async def take_over(this: Account, picture: Picture, live: Live, adopter: Adopter, survey: Survey | None) -> None:
    """Take over what was agreed to, and whatever somebody has given us by the owner label."""
    if survey is not None:
        this.update(adoption=adopting(this.status.adoption))
        if survey.version:
            # From here on it is our Cilium: a spec that changes in between may not skip a minor either.
            versions = this.status.versions or VersionsStatus()
            this.update(versions=versions.model_copy(update={"cilium": survey.version}))
        await this.say()
        await adopter.take_over(survey, live, picture.discovery)
    await adopter.clean_labelled(picture.all_manifests, live, picture.discovery)


Told = tuple[AdoptionStatus | None, list[tuple[Reason, str]]]


def found_status(survey: Survey | None, before: AdoptionStatus | None) -> AdoptionStatus | None:
    """Status when another installation was looked for, and before anything is done about it.

    What a pass that was cut off has handed over already is not found again, so its counts stay as they were.
    """
    if before is not None and before.state is not AdoptionState.REQUIRED:
        return before
    if survey is None:
        return None
    release = survey.release
    return AdoptionStatus(
        state=AdoptionState.REQUIRED,
        installer=survey.installer.value,
        release=str(release) if release else "",
        version=survey.version,
        objects=len(survey.found),
        leftovers=len(survey.leftovers),
    )


def adopting(status: AdoptionStatus | None) -> AdoptionStatus | None:
    """Status from before the first write of an adoption on."""
    return status and status.model_copy(update={"state": AdoptionState.ADOPTING})


def adopted(status: AdoptionStatus | None) -> Told:
    """Status and events once every stage is healthy and leftovers are pruned; both say it once."""
    if status is None or status.state is not AdoptionState.ADOPTING:
        return status, []
    more = f", and deleted {status.leftovers} that were not wanted any more" if status.leftovers else ""
    text = f"Took over {status.objects} objects of {status.installer}, Cilium {status.version or '(none ran)'}{more}."
    events = [(Reason.ADOPTED, text)]
    if status.release:
        namespace, _, name = status.release.partition("/")
        events.append((Reason.HELM_RELEASE_LEFT, release_left(Release(namespace, name))))
    return status.model_copy(update={"state": AdoptionState.ADOPTED}), events
