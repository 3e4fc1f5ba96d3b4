"""The part of the registry of reason codes that is about plans, and about others who write what we have applied."""

from cnichain.api.reasons_node import ReasonInfo, info

PLAN_REASONS: dict[str, ReasonInfo] = {
    "Planned": info(
        "A change was compared with the cluster before anything of it is applied; `cnichain diff` shows the plan.",
        warning=False,
    ),
    "Paused": info(
        "`spec.rollout.paused` is true and there is a plan: nothing of it is applied. The chain on the nodes is "
        "guarded and drift is corrected, but for the objects that the plan changes.",
        "`cnichain diff` shows the plan. Set `spec.rollout.paused` to false to apply it.",
        warning=False,
    ),
    "ApprovalRequired": info(
        "`spec.rollout.approval` is `Required` and nobody has approved the plan: nothing of it is applied. The chain "
        "on the nodes is guarded and drift is corrected, but for the objects that the plan changes.",
        "Read the plan with `cnichain diff`, then set the annotation that the message names to its digest.",
        warning=False,
    ),
    "DriftFight": info(
        "Another writer keeps changing an object back after each correction. The operator corrects it less and less "
        "often, down to every 10 minutes; all other objects go on.",
        "Find who writes under the field manager in the message and stop it, or ask for its value in "
        "`spec.cilium.values`.",
    ),
    "MutatedByAdmission": info(
        "An admission webhook or policy changed a field while the operator applied the object. That is not drift: "
        "the field stays as admission made it, and is applied again at most every 10 minutes.",
        "Exclude the object from the webhook or policy, or set the value that it asks for in `spec.cilium.values`.",
    ),
    "ImmutableField": info(
        "A change of a field that Kubernetes never lets change, on an object that the operator does not replace by "
        "itself because pods on nodes would lose their agent.",
        "Undo the change, or delete the object as the message says; the operator then makes it anew.",
        terminal=True,
    ),
    "SchemaStale": info(
        "A CustomResourceDefinition in the cluster is older than the object: it does not know a field of it.",
        "Update the CustomResourceDefinition of the kind that the message names; the operator goes on by itself.",
    ),
}
