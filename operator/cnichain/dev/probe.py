"""HTTP questions to the servers of the control plane, with the standard library and a time limit each."""

import http.client
import ssl
import urllib.parse
from pathlib import Path

TIMEOUT = 5.0
USER_AGENT = "cnichain-dev"


def status(url: str, *, ca: Path | None = None, token: str = "", accept: str = "") -> tuple[int, str]:
    """Status code and body of a GET. OSError (also of TLS) or HTTPException when there is no answer."""
    return send("GET", url, ca=ca, token=token, accept=accept)


def send(
    method: str,
    url: str,
    *,
    ca: Path | None = None,
    token: str = "",
    body: str | None = None,
    content_type: str = "",
    accept: str = "",
) -> tuple[int, str]:
    """Status code and body of a request. OSError (also of TLS) or HTTPException when there is no answer."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None:
        raise ValueError(f"not a URL with a host: {url}")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        headers = {"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= {"Content-Type": content_type} if content_type else {}
        headers |= {"Accept": accept} if accept else {}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", errors="replace")
    finally:
        connection.close()


def why_not_ok(url: str, *, ca: Path | None = None, token: str = "") -> str | None:
    """None when the answer is 200; else in a few words why not, for the message of a wait that ran out."""
    try:
        code, body = status(url, ca=ca, token=token)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    if code == 200:
        return None
    return f"{url} answered {code}: {body.strip()[:300]}"
