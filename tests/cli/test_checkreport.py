"""What `cnichain check` prints fits a terminal of 80 columns and says what to do."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.reasons import REASONS, Reason
from cnichain.cli.check import check
from cnichain.cli.checkreport import SIGNS, as_data, as_text, counts
from cnichain.preflight.finding import Category, Check, Finding, Level, Result

LINK = "https://github.com/cilium/cilium/issues/44464"


def result(level: Level, message: str = "kube-proxy runs in the mode ipvs.", source: str = LINK) -> Result:
    reason = Reason.PREFLIGHT_PASSED if level is Level.OK else Reason.KUBE_PROXY_IPVS
    finding = Finding(level, reason, message, source)
    return Result(Check("kube-proxy", Category.COMBINATION, "kube-proxy", lambda _: finding), finding)


def test_a_check_is_told_with_sign_reason_and_what_to_do() -> None:
    text = as_text([result(Level.REFUSED), result(Level.OK), result(Level.WARNING)], colour=False)
    assert "versions that go together\n-------------------------\n× kube-proxy: KubeProxyIPVS\n" in text
    assert "√ kube-proxy: kube-proxy runs in the mode ipvs." in text
    assert "    -> Set kube-proxy to iptables first" in text
    assert LINK in text
    assert text.endswith("× The chain would be refused: 1 ok, 1 warning, 1 refused.")
    assert "\x1b" not in text


def test_warnings_and_what_is_unknown_stand_in_the_way_of_nothing() -> None:
    results = [result(Level.WARNING), result(Level.WARNING), result(Level.UNKNOWN)]
    assert as_text(results, colour=False).endswith("√ Nothing stands in the way: 2 warnings, 1 unknown.")
    assert counts(results) == {"ok": 0, "warning": 2, "refused": 0, "unknown": 1}


def test_colours_and_plain_signs_are_asked_for() -> None:
    assert "\x1b[31m" in as_text([result(Level.REFUSED)], colour=True)
    plain = as_text([result(level) for level in Level], colour=False, plain=True)
    assert plain.isascii()
    assert not set(SIGNS.values()) & set(plain) - {"?"}


@given(
    message=st.text(st.sampled_from("ab. ,:-/=äß×"), min_size=1, max_size=400).filter(
        lambda text: text.strip() and max(map(len, text.split())) < 70
    ),
    level=st.sampled_from(Level),
)
def test_every_line_fits_80_columns(message: str, level: Level) -> None:
    text = as_text([result(level, message, f"https://example.org/{'x' * 90}")], colour=False)
    assert max(map(len, text.splitlines())) <= 80


def test_programs_get_the_same_with_the_fix() -> None:
    report = as_data([result(Level.REFUSED), result(Level.OK)], "1.19.6", "v1.34.1")
    assert (report["passed"], report["cilium"], report["kubernetes"]) == (False, "1.19.6", "v1.34.1")
    refused, fine = report["checks"]
    assert refused["fix"] == REASONS[Reason.KUBE_PROXY_IPVS].fix
    assert refused["source"] == LINK
    assert fine["fix"] == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--filename=pyproject.toml"],
        ["--category=nope"],
        ["--pre", "--output=x"],
        ["--pre", "--filename=not-there.yaml"],
    ],
)
def test_wrong_use_is_not_taken_for_a_refusal(arguments: list[str]) -> None:
    assert CliRunner().invoke(check, arguments).exit_code == 2
