"""A CA that is replaced: no moment without mutual TLS, whatever is cut off, skipped or missing on the way."""

import base64
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.render.certs import CertificatePlan, plan_certificates
from cnichain.render.leaves import RELAY_CLIENT_SECRET, SERVER_SECRET, wanted_leaves
from cnichain.render.pki import issued_by
from cnichain.render.rotation import CA_SECRET, Request, Step, Stored

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
SERVER, CLIENT = SERVER_SECRET, RELAY_CLIENT_SECRET
LEAVES = wanted_leaves({})
Cluster = dict[str, Stored]


def written(plan: CertificatePlan) -> Cluster:
    """The Secrets of a plan, as they stand in the cluster once all of it is applied."""
    return {item.name: Stored(item.body["data"], item.body["metadata"].get("annotations", {})) for item in plan.secrets}


def step_on(cluster: Mapping[str, Stored | None], now: datetime, **request: Any) -> CertificatePlan:
    return plan_certificates(cluster, now, LEAVES, Request(**request))


def rotation() -> list[tuple[Step, Cluster]]:
    """Every state of a rotation that a person asks for, from before it to after it."""
    now, cluster = START, written(step_on({}, START))
    states = [(Step.NONE, cluster)]
    for _ in range(3):
        now += 11 * MINUTE
        plan = step_on(cluster, now, asked="leaked")
        cluster = written(plan)
        states.append((plan.step, cluster))
    return states


STATES = rotation()


def authority_of(stored: Stored) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(stored.data["ca.crt"]))


def leaf_of(stored: Stored) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(stored.data["tls.crt"]))


def test_the_steps_of_a_rotation() -> None:
    assert [step for step, _ in STATES] == [Step.NONE, Step.TRUST_BOTH, Step.ISSUE_NEW, Step.NONE]
    before, both, issued, after = (cluster for _, cluster in STATES)
    assert [len(authority_of(cluster[SERVER])) for _, cluster in STATES] == [1, 2, 2, 1]
    for name in (SERVER, CLIENT):
        assert both[name].data["tls.crt"] == before[name].data["tls.crt"], "leaves change only once both are trusted"
        assert issued[name].data["ca.crt"] == both[name].data["ca.crt"], "both are trusted while leaves change"
        assert after[name].data["tls.crt"] == issued[name].data["tls.crt"]
        assert after[name].data["ca.crt"] != before[name].data["ca.crt"]
        assert after[name].annotations == {}, "what a rotation has noted must go with it"
    assert set(both[CA_SECRET].data) == {"ca.crt", "ca.key", "next.crt", "next.key"}
    assert set(issued[CA_SECRET].data) == {"ca.crt", "ca.key", "previous.crt"}, "the old key must go"
    assert set(after[CA_SECRET].data) == {"ca.crt", "ca.key"}


def context(stored: Stored, folder: Path, *, server: bool) -> ssl.SSLContext:
    """TLS of one part that has mounted a Secret, as Hubble and relay do it: both sides show a certificate."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    found.verify_mode = ssl.CERT_REQUIRED
    found.load_verify_locations(cadata=base64.b64decode(stored.data["ca.crt"]).decode())
    folder.mkdir(exist_ok=True)
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(base64.b64decode(stored.data[name]))
    found.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return found


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A whole handshake of both sides in memory. Raises ssl.SSLError when one refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=name),
    ]
    for _ in range(6):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    # TLS 1.3 lets a client finish before the server has judged its certificate: only data shows that it was taken.
    sides[0].write(b"flows")
    assert sides[1].read(16) == b"flows"


@pytest.mark.parametrize("server_at", range(len(STATES)))
@pytest.mark.parametrize("client_at", range(len(STATES)))
@pytest.mark.parametrize(("one", "other"), [(SERVER, CLIENT), (CLIENT, SERVER)], ids=["hubble", "turned-round"])
def test_parts_with_files_of_adjacent_steps_trust_each_other(
    tmp_path: Path, server_at: int, client_at: int, one: str, other: str
) -> None:
    """The kubelets bring the files at different times, so server and client may be one step apart, either way."""
    server = context(STATES[server_at][1][one], tmp_path / "server", server=True)
    client = context(STATES[client_at][1][other], tmp_path / "client", server=False)
    name = {SERVER: "node-1.default.hubble-grpc.cilium.io", CLIENT: "ui.hubble-relay.cilium.io"}[one]
    if abs(server_at - client_at) <= 1:
        shake_hands(server, client, name)
    elif {server_at, client_at} == {0, 3}:
        with pytest.raises(ssl.SSLError):
            shake_hands(server, client, name)


def test_one_request_rotates_once_and_another_one_again() -> None:
    after = STATES[-1][1]
    later = START + DAY
    assert step_on(after, later, asked="leaked").step is Step.NONE
    assert step_on(after, later).step is Step.NONE, "a request that is taken back asks for nothing"
    assert step_on(after, later, asked="leaked again").step is Step.TRUST_BOTH


@pytest.mark.parametrize("at", [1, 2], ids=["TrustBoth", "IssueNew"])
def test_a_step_waits_until_every_secret_has_lasted(at: int) -> None:
    step, cluster = STATES[at]
    began = START + at * 11 * MINUTE
    assert step_on(cluster, began + 9 * MINUTE).step is step
    again = step_on(cluster, began + 9 * MINUTE).again
    assert again is not None
    assert MINUTE <= again <= 2 * MINUTE, "the next look must be when the step may be over"
    assert step_on(cluster, began + 10 * MINUTE).step is not step
    late = began + 5 * MINUTE
    lost = written(step_on(cluster | {SERVER: Stored({})}, late))
    assert step_on(lost, began + 12 * MINUTE).step is step, "a Secret that was written late has not lasted yet"
    assert step_on(lost, late + 10 * MINUTE).step is not step


@pytest.mark.parametrize("at", [1, 2], ids=["TrustBoth", "IssueNew"])
def test_a_step_waits_for_healthy_parts_and_missing_secrets_but_not_for_ever(at: int) -> None:
    step, cluster = STATES[at]
    began = START + at * 11 * MINUTE
    missing = {name: stored for name, stored in cluster.items() if name != CLIENT}
    assert step_on(cluster, began + 6 * DAY, healthy=False).step is step
    assert step_on(missing, began + 6 * DAY).step is step
    assert step_on(cluster, began + 8 * DAY, healthy=False).step is not step
    assert step_on(missing, began + 8 * DAY).step is not step


def test_half_a_write_goes_back_to_what_both_sides_trust() -> None:
    """The operator is killed after it has written one leaf of the next step, and before the Secret of the CA."""
    for (_, here), (_, there) in pairwise(STATES):
        for name in (SERVER, CLIENT):
            now = START + DAY
            plan = step_on(here | {name: there[name]}, now, asked="leaked", wait=2 * DAY)
            for stored in (here[SERVER], here[CLIENT], there[name]):
                for other in written(plan).values():
                    if "tls.crt" in other.data:
                        assert trusts(stored, other), f"{name} of the next step was written first"
                        assert trusts(other, stored)


def trusts(one: Stored, other: Stored) -> bool:
    return any(issued_by(leaf_of(other), ca) for ca in authority_of(one))


def test_a_spoilt_next_ca_is_made_anew_before_anything_is_signed_by_it() -> None:
    _, cluster = STATES[1]
    spoilt = Stored({**cluster[CA_SECRET].data, "next.key": "c3BvaWx0"}, cluster[CA_SECRET].annotations)
    plan = step_on(cluster | {CA_SECRET: spoilt}, START + DAY)
    assert plan.step is Step.TRUST_BOTH
    assert trusts(cluster[SERVER], written(plan)[CLIENT])


def test_without_a_rotation_secrets_are_as_they_always_were() -> None:
    assert all(stored.annotations == {} for stored in written(step_on({}, START)).values())


def test_the_same_input_gives_the_same_bytes_in_every_step() -> None:
    for at, (_, cluster) in enumerate(STATES):
        now = START + at * 11 * MINUTE + 5 * MINUTE
        asked = "leaked" if at else ""
        once = written(step_on(cluster, now, asked=asked))
        for name, stored in once.items():
            assert (stored.data, stored.annotations) == (cluster[name].data, cluster[name].annotations), name
        assert step_on(cluster, now, asked=asked).renewed == ()


@settings(max_examples=6, deadline=None)
@given(
    calm=st.lists(st.integers(5, 20), min_size=8, max_size=30),
    busy=st.lists(st.integers(120, 3000), min_size=5, max_size=9),
    cuts=st.lists(st.sets(st.sampled_from([CA_SECRET, SERVER, CLIENT])), min_size=3, max_size=11),
    healthy=st.lists(st.booleans(), min_size=5, max_size=5),
    asked=st.integers(0, 9 * 365),
)
def test_twelve_years_with_writes_that_are_cut_off(
    calm: list[int], busy: list[int], cuts: list[set[str]], healthy: list[bool], asked: int
) -> None:
    """Days between passes, hours during a rotation, and any pass may write some of the Secrets only (those in `cuts`
    stay as they were). Files of this and of the last pass always trust each other, and nothing ever ends."""
    now = START
    cluster: Cluster = {}
    steps: set[Step] = set()
    for turn in range(10_000):
        word = "once" if now >= START + asked * DAY else ""
        plan = step_on(cluster, now, asked=word, healthy=healthy[turn % len(healthy)])
        wanted = written(plan)
        kept = cuts[turn % len(cuts)] if turn % 3 == 2 and cluster else set()
        before, cluster = cluster or wanted, wanted | {name: cluster[name] for name in kept}
        steps.add(plan.step)
        if cluster != before:
            users = [state[name] for state in (before, cluster) for name in (SERVER, CLIENT)]
            refused = [(one, other) for one in users for other in users if not trusts(one, other)]
            assert refused == [], f"{len(refused)} pairs refuse each other on {now}, step {plan.step!r}"
        assert all(leaf_of(cluster[name]).not_valid_after_utc > now for name in (SERVER, CLIENT)), f"ended on {now}"
        assert plan.not_after > now
        now += busy[turn % len(busy)] * MINUTE if plan.step is not Step.NONE else calm[turn % len(calm)] * DAY
        if now > START + 12 * 365 * DAY:
            break
    assert now > START + 12 * 365 * DAY, "a rotation must come to its end"
    assert steps == set(Step), "ten years are more than the life of a CA less 180 days"
