"""What the cluster is, read from what it says of itself."""

import pytest

from cnichain.api.chain import parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.catalogue.load import load_catalogue
from cnichain.preflight.primary import check_primary, version_of
from cnichain.preflight.upgrade import check_step

RULE = load_catalogue().primary(PrimaryPlugin.AWS_VPC_CNI)
SPEC = parse_spec({"cilium": {"version": "1.17.3"}})


def aws_node(image: str, **labels: str) -> dict[str, object]:
    containers = [{"name": "aws-eks-nodeagent", "image": "x:v9.9.9"}, {"name": "aws-node", "image": image}]
    return {"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.18.5-eksbuild.1", "v1.18.5-eksbuild.1"),
        ("registry:5000/amazon-k8s-cni:v1.19.0", "v1.19.0"),
        (f"registry/amazon-k8s-cni:v1.19.0@sha256:{'a' * 64}", "v1.19.0"),
        (f"registry:5000/amazon-k8s-cni@sha256:{'a' * 64}", None),
        ("registry:5000/amazon-k8s-cni", None),
        ("amazon-k8s-cni:latest", None),
        ("", None),
    ],
)
def test_the_version_is_read_from_the_tag_of_the_right_container(image: str, version: str | None) -> None:
    assert version_of(aws_node(image), "aws-node") == version


def test_an_image_without_a_version_is_known_by_the_label() -> None:
    labelled = aws_node(f"r/cni@sha256:{'a' * 64}", **{"app.kubernetes.io/version": "v1.18.5"})
    assert check_primary(RULE, SPEC, labelled) == "v1.18.5"


@pytest.mark.parametrize(
    ("image", "minimum", "reason"),
    [
        ("cni:v1.11.1", None, "PrimaryTooOld"),
        ("cni:v1.11.1", "1.0.0", "PrimaryTooOld"),
        ("cni:v1.16.1", None, "PrimaryTooOld"),
        ("cni:v1.16.0", "1.11.2", "PrimaryTooOld"),
        ("cni:v1.18.5", "1.18.6", "PrimaryTooOld"),
        ("cni:latest", None, "PrimaryVersionUnknown"),
    ],
)
def test_a_primary_that_is_refused(image: str, minimum: str | None, reason: str) -> None:
    spec = parse_spec({"cilium": {"version": "1.17.3"}, "primary": {"minVersion": minimum} if minimum else {}})
    with pytest.raises(ChainError) as refused:
        check_primary(RULE, spec, aws_node(image))
    assert refused.value.reason.value == reason


def test_an_older_primary_is_accepted_when_the_spec_says_so() -> None:
    spec = parse_spec({"cilium": {"version": "1.17.3"}, "primary": {"minVersion": "1.11.2"}})
    assert check_primary(RULE, spec, aws_node("cni:v1.12.5")) == "v1.12.5"


@pytest.mark.parametrize(
    ("old", "new"),
    [("", "1.20.0"), ("1.17.3", "1.17.18"), ("1.17.18", "1.18.12"), ("1.18.12", "1.17.18"), ("1.17.18", "1.17.3")],
)
def test_a_step_of_at_most_one_minor_is_taken(old: str, new: str) -> None:
    check_step(old, new, load_catalogue())


@pytest.mark.parametrize(("old", "new", "first"), [("1.17.3", "1.18.12", "1.17.18"), ("1.17.18", "1.18.12", "")])
def test_a_step_to_the_next_minor_starts_from_the_latest_patch(old: str, new: str, first: str) -> None:
    if not first:
        check_step(old, new, load_catalogue())
        return
    with pytest.raises(ChainError, match=f"LatestPatchFirst.*Go to {first} first"):
        check_step(old, new, load_catalogue())


@pytest.mark.parametrize(
    ("old", "new", "first"), [("1.17.3", "1.19.6", "1.18"), ("1.20.0", "1.18.12", "1.19"), ("1.20.0", "2.0.0", "1.21")]
)
def test_a_step_over_a_minor_is_refused_and_the_way_is_named(old: str, new: str, first: str) -> None:
    with pytest.raises(ChainError, match=f"UpgradeSkipsMinor.*Go to {first} first"):
        check_step(old, new, load_catalogue())
