"""The way to the API server: what is taken from a kubeconfig or a pod, and what is refused with a hint."""

import json
from pathlib import Path
from typing import Any

import pytest

from cnichain.node.access import from_kubeconfig, in_cluster
from cnichain.node.api_client import Access, ApiClient, ApiConfigError


def _kubeconfig(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    path = folder / "kubeconfig"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(config))
    return path


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    access = from_kubeconfig(_kubeconfig(tmp_path, {}, {"tokenFile": "token"}), None)
    assert access.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert access.token() == "second", "a rotated token would be refused by the server"


def test_yaml_is_read_too_and_the_server_can_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: 'http://localhost:1'}}]\nusers: [{name: u, user: {token: t}}]\n"
    )
    assert from_kubeconfig(path, None).server == "http://localhost:1"
    assert from_kubeconfig(path, "http://localhost:2").server == "http://localhost:2"


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({}, {"exec": {"command": "aws"}}, "'exec'"),
        ({}, {"username": "admin", "password": "x"}, "'username'"),
        ({}, {"token": "two\nlines"}, "line end"),
        ({}, {"token": "t\u00f6ken"}, "not ASCII"),
        ({"insecure-skip-tls-verify": True}, {}, "certificate-authority"),
        ({"server": "https://x", "certificate-authority": "/nonexistent"}, {}, "certificate-authority cannot be read"),
        ({"server": "https://x", "certificate-authority-data": "!"}, {}, "certificate-authority cannot be read"),
        ({"server": "https://x", "certificate-authority-data": "eA=="}, {}, "certificate authority cannot be used"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiConfigError) as error:
        from_kubeconfig(_kubeconfig(tmp_path, cluster, user), None)
    assert words in str(error.value)


def test_outside_of_a_pod_the_kubeconfig_is_asked_for() -> None:
    with pytest.raises(ApiConfigError, match="--kubeconfig"):
        in_cluster({}, None)


@pytest.mark.parametrize(
    "server",
    [
        "ftp://x",
        "10.0.0.1:6443",
        "http://10.0.0.1:8080",
        "",
        "https://x:port",
        "https://10.0.0.1",
        "http://localhost/\u00e4",
        "http://localhost/a b",
    ],
)
def test_a_server_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(ApiConfigError):
        ApiClient(Access(server, lambda: None, None), "node-1")


def test_a_server_name_that_no_certificate_has_is_refused() -> None:
    with pytest.raises(ApiConfigError, match="tls-server-name"):
        ApiClient(Access("http://localhost:1", lambda: None, None, server_name="m\u00fcller"), "node-1")
