"""CRDs from the models: a structural schema, CEL rules with bounded costs, printer columns, the status subresource.

No defaults reach the schema of spec: a default that the API server fills in makes GitOps tools report a difference for
ever. A CNIChain's status has one, which nobody keeps in Git (`NOT_SEEN`).
`make generate` writes the files; CI fails when they are stale.
"""

import ast
import inspect
import textwrap
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from cnichain.api.chain import CNIChainSpec
from cnichain.api.chainnode import NodeSpec, NodeStatus
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.names import (
    GROUP,
    KIND_CHAIN,
    KIND_NODE,
    PLURAL_CHAINS,
    PLURAL_NODES,
    SINGLETON,
    VERSION,
)

Schema = dict[str, Any]

MAX_INT32 = 2**31 - 1
KEPT_KEYWORDS = {
    "type", "description", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "required",
}  # fmt: skip

NOT_SEEN = {"observedGeneration": 0}
"""The status of a CNIChain that no operator has seen yet. Without it kstatus, and so Flux, `helm --wait` and others,
take such an object for finished: nothing in it says otherwise. Flux's own kinds do the same."""

ROOT_RULES = [
    {
        "rule": f"self.metadata.name == '{SINGLETON}'",
        "message": f"NotSingleton: a cluster has one CNI chain; name the CNIChain '{SINGLETON}'",
    }
]
SPEC_RULES = [
    {
        "rule": "!has(self.policyEngine) || self.policyEngine != 'Calico' || "
        "(has(self.calico) && has(self.calico.enabled) && self.calico.enabled)",
        "message": "policyEngine Calico needs calico.enabled: true",
    },
    {
        "rule": "!has(self.calico) || !has(self.calico.enabled) || !self.calico.enabled || has(self.calico.version)",
        "message": "calico.enabled needs calico.version",
    },
    {
        "rule": "!has(self.hubble) || !has(self.hubble.relay) || !has(self.hubble.relay.enabled) || "
        "self.hubble.relay.enabled || (has(self.hubble.ui) && has(self.hubble.ui.enabled) && !self.hubble.ui.enabled)",
        "message": "hubble.ui needs hubble.relay: switch the ui off too, or the relay on",
    },
    {
        "rule": "(has(self.primary) && has(self.primary.plugin) ? self.primary.plugin : 'aws-vpc-cni') == "
        "(has(oldSelf.primary) && has(oldSelf.primary.plugin) ? oldSelf.primary.plugin : 'aws-vpc-cni')",
        "message": "primary.plugin cannot be changed: delete the CNIChain first",
    },
]
CHAIN_COLUMNS = [
    ("Primary", "string", ".status.effective.primary", 0),
    ("Cilium", "string", ".status.versions.cilium", 0),
    ("Hubble", "string", ".status.hubble", 0),
    ("Nodes", "string", ".status.nodes.summary", 0),
    ("Unmanaged", "string", ".status.unmanaged", 0),
    ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("Status", "string", ".status.conditions[?(@.type=='Ready')].message", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Calico", "string", ".status.versions.calico", 1),
    ("Writer", "string", ".status.effective.writer", 1),
    ("Primary-Version", "string", ".status.versions.primary", 1),
]
NODE_COLUMNS = [
    ("State", "string", ".status.state", 0),
    ("Chain", "string", ".status.chain", 0),
    ("Cilium", "string", ".status.cilium", 0),
    ("Drifts", "integer", ".status.repairs.drifts", 0),
    ("Last-Repair", "date", ".status.lastRepair.time", 0),
    ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Reason", "string", ".status.reason", 1),
    ("Message", "string", ".status.message", 1),
]


def chain_crd() -> Schema:
    """The CustomResourceDefinition of CNIChain."""
    spec = structural(_schema(CNIChainSpec))
    spec["x-kubernetes-validations"] = SPEC_RULES
    status = structural(_schema(CNIChainStatus)) | {"default": NOT_SEEN}
    description = "A CNI chain: the CNI that the cluster keeps, and Cilium and Hubble after it."
    crd = _crd(KIND_CHAIN, PLURAL_CHAINS, ["cnc"], CHAIN_COLUMNS, spec, status, description)
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["x-kubernetes-validations"] = ROOT_RULES
    root["required"] = ["spec"]
    return crd


def node_crd() -> Schema:
    """The CustomResourceDefinition of CNIChainNode."""
    spec = structural(_schema(NodeSpec))
    status = structural(_schema(NodeStatus))
    description = (
        "The CNI chain of one node: what it should have (spec, by the operator) and has (status, by its agent)."
    )
    return _crd(KIND_NODE, PLURAL_NODES, ["cncn"], NODE_COLUMNS, spec, status, description)


def _crd(
    kind: str,
    plural: str,
    short_names: list[str],
    columns: list[tuple[str, str, str, int]],
    *schemas_and_description: Any,
) -> Schema:
    spec, status, description = schemas_and_description
    printer = [
        {"name": name, "type": type_, "jsonPath": path} | ({"priority": priority} if priority else {})
        for name, type_, path, priority in columns
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short_names,
                "categories": ["networking"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": printer,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": description,
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                        }
                    },
                }
            ],
        },
    }


class _Described(GenerateJsonSchema):
    """JSON schemas in which the string below a field of a model is the description of its property."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Pydantic's schema of one model, with the descriptions."""
        result, model = super().model_schema(schema), schema["cls"]
        for name, text in _words(model).items():
            result["properties"][model.model_fields[name].alias or name].setdefault("description", text)
        return result


def _words(model: type[BaseModel]) -> dict[str, str]:
    """Field to the string that stands below it in the source, of a model and the models that it is made from."""
    found: dict[str, str] = {}
    bases = [base for base in reversed(model.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    for base in bases:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        if not isinstance(definition, ast.ClassDef):
            raise TypeError(f"{base} is not a class statement")
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


def _schema(kind: type) -> Schema:
    return TypeAdapter(kind).json_schema(by_alias=True, schema_generator=_Described)


def structural(schema: Schema) -> Schema:
    """A pydantic JSON schema as a Kubernetes structural schema.

    References are resolved, `X or null` becomes X (a left-out field), defaults and titles go, lists of conditions
    become maps keyed by type, and free-form objects keep their unknown fields.
    """
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _resolve(node, defs)
    if "anyOf" in node or "allOf" in node:
        raise ValueError(f"not expressible as a structural schema: {node}")
    result = {key: value for key, value in node.items() if key in KEPT_KEYWORDS}
    if node.get("type") == "integer":
        result["format"] = "int64"
        result.setdefault("maximum", MAX_INT32)
    if "properties" in node:
        result["properties"] = {name: _structural(child, defs) for name, child in node["properties"].items()}
    elif node.get("type") == "object":
        extra = node.get("additionalProperties")
        if isinstance(extra, dict):
            result["additionalProperties"] = _structural(extra, defs)
        else:
            result["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in node:
        result["items"] = _structural(node["items"], defs)
        if {"type", "lastTransitionTime"} <= set(result["items"].get("properties", {})):
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        elif result["items"].get("enum"):
            result["x-kubernetes-list-type"] = "set"
        else:
            result["x-kubernetes-list-type"] = "atomic"
    if result.get("type") == "string" and "enum" not in result:
        result.setdefault("maxLength", 1024)
    return result


def _resolve(node: Schema, defs: dict[str, Schema]) -> Schema:
    """The schema behind a reference or an optional; what is said at the place itself wins."""
    here = {key: value for key, value in node.items() if key not in {"$ref", "anyOf", "default", "title"}}
    if "anyOf" in node:
        (only,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return _resolve(only, defs) | here
    if "$ref" in node:
        return _resolve(defs[node["$ref"].rsplit("/", 1)[1]], defs) | here
    return {key: value for key, value in node.items() if key not in {"default", "title"}}


def render(crd: Schema) -> str:
    """A CRD as the YAML file that is committed."""
    head = "# Generated from operator/cnichain/api by `make generate`; do not edit.\n"
    return head + yaml.safe_dump(crd, sort_keys=False, width=120)
