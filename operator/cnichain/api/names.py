"""The names under which CNIChain appears in a cluster: one place, so that code, CRDs and docs agree."""

from typing import Final

GROUP: Final = "cnichain.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

KIND_CHAIN: Final = "CNIChain"
PLURAL_CHAINS: Final = "cnichains"
KIND_NODE: Final = "CNIChainNode"
PLURAL_NODES: Final = "cnichainnodes"

SINGLETON: Final = "default"
"""The one name that a CNIChain may have; a cluster has one CNI chain."""

OWNER_LABEL: Final = "cnichain.io/owner"
"""On every object the operator applies; its value is the name of the CNIChain."""

FIELD_MANAGER: Final = "cnichain"
"""The one field manager of every applied object. Never rename it: fields of the old name would stay behind."""

STATUS_FIELD_MANAGER: Final = "cnichain-status"
AGENT_FIELD_MANAGER: Final = "cnichain-agent"
FINALIZER: Final = "cnichain.io/finalizer"

APPROVAL_ANNOTATION: Final = "cnichain.io/approved-plan"
"""On a CNIChain: the digest of the plan that may be applied, where spec.rollout.approval asks for one."""

ROTATE_CA_ANNOTATION: Final = "cnichain.io/rotate-ca"
"""On a CNIChain: any word. A word that was not there before has the CA of Hubble's certificates replaced, once."""

SYSTEM_NAMESPACE: Final = "cnichain-system"
"""Where the operator, its agents and its inventory live."""

LEASE_NAME: Final = "cnichain-operator"
"""The Lease in the operator's namespace that one operator holds at a time."""

CILIUM_NAMESPACE: Final = "kube-system"
"""Where the Cilium chart is installed: the namespace that upstream's EKS chaining guide uses."""

CONFLIST_FILE: Final = "05-cilium.conflist"
"""The chained conflist. Cilium's own name for it, so that agent and Cilium write one and the same file."""

STARTUP_TAINT: Final = "cnichain.io/chain-not-ready"
"""Key of the taint that node groups may start nodes with; taken off once the chain on the node is verified."""

CILIUM_TAINT: Final = "node.cilium.io/agent-not-ready"
"""Key of the taint that cilium-operator sets on nodes without a ready agent, and leaves behind (cilium#31943)."""

CHAINED_LABEL: Final = "cnichain.io/chained"
"""On a Node, `true`: its wave is open. Cilium's DaemonSets require it, so nodes without it keep the primary alone."""

TEMPLATE_ANNOTATION: Final = "cnichain.io/template"
"""On the pods of Cilium's DaemonSets: digest of the pod template that they were made from."""

PREPULL_DAEMON_SET: Final = "cnichain-prepull"
"""The DaemonSet that pulls the agents' new images before their wave."""

RETRY_ANNOTATION: Final = "cnichain.io/retry"
"""On a CNIChain: any word. A word that was not there before has a change tried again that was rolled back or held."""

SKIP_NODE_ANNOTATION: Final = "cnichain.io/skip-node"
"""On a CNIChain that is being uninstalled: names of nodes, separated by commas, that it is not to wait for."""

DOCS_URL: Final = "https://cnichain.github.io/cnichain"
"""Where the site of docs/ is (`make docs`): hints of the command line, on lines of 80 columns, and runbooks of alerts
point there."""
