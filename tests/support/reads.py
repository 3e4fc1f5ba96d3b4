"""What `kubectl get ... --output=json` shows, mostly without a kubectl: a test that waits asks ten times a second.

Only what is asked here often is understood; everything else, and every answer that is not the object, is left to
kubectl, whose words are the ones that a failed test shows.
"""

import json
import urllib.parse
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.probe import status

Object = dict[str, Any]

KUBECTL_SECONDS = 60.0
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SELECTORS = {"--selector": "labelSelector", "-l": "labelSelector", "--field-selector": "fieldSelector"}
_NAMESPACES = {"--namespace", "-n"}
_EVERYWHERE = {"--all-namespaces", "-A"}


@dataclass(frozen=True)
class Resource:
    """Where the objects of one kind are. root: `/api/v1` or `/apis/GROUP/VERSION`."""

    root: str
    plural: str
    kind: str
    is_namespaced: bool

    @property
    def api_version(self) -> str:
        """As objects name it."""
        return self.root.removeprefix("/apis/").removeprefix("/api/")


@dataclass
class Request:
    """The arguments of one `kubectl get`."""

    resource: str
    names: list[str] = field(default_factory=list)
    namespace: str = "default"
    is_everywhere: bool = False
    selectors: dict[str, str] = field(default_factory=dict)
    with_managed_fields: bool = False


@dataclass
class Reads:
    """Reads of one control plane as administrator. is_direct: left to kubectl otherwise. known: resources by every word
    that kubectl takes for them."""

    control_plane: ControlPlane
    is_direct: bool = True
    known: dict[str, Resource] = field(default_factory=dict)

    def get(self, *arguments: str) -> Object:
        """An object, or a list of them, as `kubectl get` with these arguments shows it as JSON. DevError as kubectl."""
        code, found = self._get(arguments)
        return found if code == 200 else json.loads(self._kubectl(*arguments, "--output=json"))

    def exists(self, *arguments: str) -> bool:
        """Whether `kubectl get` with these arguments shows something. DevError as kubectl."""
        code, found = self._get(arguments)
        if code in {200, 404}:
            return code == 200 and bool(found.get("items", [found]))
        return bool(self._kubectl(*arguments, "--ignore-not-found", "--output=name").strip())

    def _kubectl(self, *arguments: str) -> str:
        return self.control_plane.run_kubectl("get", *arguments, timeout=KUBECTL_SECONDS)

    def _get(self, arguments: tuple[str, ...]) -> tuple[int, Object]:
        request = understood(arguments) if self.is_direct else None
        resource = self._resource(request.resource) if request else None
        if request is None or resource is None:
            return 0, {}
        place = resource.root
        if resource.is_namespaced and not request.is_everywhere:
            place += f"/namespaces/{request.namespace}"
        place += f"/{resource.plural}"
        if request.names:
            code, found = self._answer(f"{place}/{request.names[0]}")
            items = [found]
        else:
            query = urllib.parse.urlencode(request.selectors)
            code, found = self._answer(place + (f"?{query}" if query else ""))
            items = found.get("items", [])
        if code != 200:
            return code, {}
        for item in items:
            item |= {"apiVersion": resource.api_version, "kind": resource.kind}
            if not request.with_managed_fields:
                item["metadata"].pop("managedFields", None)
        return code, items[0] if request.names else {"apiVersion": "v1", "kind": "List", "items": items}

    def _resource(self, word: str) -> Resource | None:
        if word.lower() not in self.known:
            self.known = self._discovered()  # CRDs come while a test runs
        return self.known.get(word.lower())

    def _discovered(self) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for path in ("/api", "/apis"):
            _, answer = self._answer(path, _DISCOVERY)
            for group in answer.get("items", []):
                name = group["metadata"].get("name", "")
                for version in group["versions"]:  # the preferred one first, as kubectl takes it
                    root = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                    for one in version.get("resources", []):
                        kind, plural = one["responseKind"]["kind"], one["resource"]
                        resource = Resource(root, plural, kind, one["scope"] == "Namespaced")
                        words = (plural, one.get("singularResource"), *one.get("shortNames", []), f"{plural}.{name}")
                        for word in filter(None, words):
                            found.setdefault(word, resource)
        return found

    def _answer(self, path: str, accept: str = "") -> tuple[int, Object]:
        """Code and body; 0 without an answer, and nothing of a body that is no object."""
        plane = self.control_plane
        try:
            code, body = status(plane.server + path, ca=Path(plane.ca_file), token=plane.token, accept=accept)
            return code, json.loads(body)
        except (OSError, HTTPException, ValueError):
            return 0, {}


def understood(arguments: tuple[str, ...]) -> Request | None:
    """The arguments after `kubectl get`; None when there are some that only kubectl knows."""
    words, request, left = [], Request(""), list(arguments)
    while left:
        name, has_value, value = left.pop(0).partition("=")
        if not name.startswith("-"):
            words.append(name + (f"={value}" if has_value else ""))
        elif name in _EVERYWHERE and not has_value:
            request.is_everywhere = True
        elif name == "--show-managed-fields" and not has_value:
            request.with_managed_fields = True
        elif name in _NAMESPACES | set(_SELECTORS) and (has_value or left):
            value = value if has_value else left.pop(0)
            if name in _NAMESPACES:
                request.namespace = value
            else:
                request.selectors[_SELECTORS[name]] = value
        else:
            return None
    is_plain = 1 <= len(words) <= 2 and not any("," in word or "/" in word for word in words)
    if not is_plain or (len(words) == 2 and (request.selectors or request.is_everywhere)):
        return None
    request.resource, request.names = words[0], words[1:]
    return request
