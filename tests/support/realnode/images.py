"""Container images as OCI archives, made from files: no registry, no daemon."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

_PAUSE_SOURCE = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0) {} }

int main(void) {
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""
"""Holds a pod's namespaces, reaps, and ends when asked to: all that a pause container does."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_EPOCH = 0


def build_pause(scratch: Path, name: str) -> Path:
    """An archive with the one static program /pause, which is there as `sleep` as well, for pods that only wait."""
    source, program, layer = scratch / "pause.c", scratch / "pause", scratch / "pause-layer.tar"
    source.write_text(_PAUSE_SOURCE, encoding="ascii")
    command = ["gcc", "-static", "-Os", "-s", "-o", str(program), str(source)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    with tarfile.open(layer, "w") as archive:
        for path in ("pause", "bin/sleep"):
            archive.addfile(_entry(path, program.stat().st_size, 0o755), io.BytesIO(program.read_bytes()))
    return write_archive(scratch / "pause.tar", name, layer, {"Entrypoint": ["/pause"]})


def write_archive(path: Path, name: str, layer: Path, config: Mapping[str, object]) -> Path:
    """Write an image of one layer (image-layout 1.0.0) that `ctr image import` takes under `name`; the path.

    layer: an uncompressed tar. config: the image's execution parameters, as Entrypoint and Env.
    """
    with layer.open("rb") as content:
        layer_digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    image = _json(
        {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            "history": [{"created_by": "CNIChain's tests"}],  # buildah builds on no image whose layers have none
        }
    )
    layer_entry = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": layer_digest,
        "size": layer.stat().st_size,
    }
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", image),
            "layers": [layer_entry],
        }
    )
    entry = {**_descriptor(_MANIFEST_TYPE, manifest), "annotations": {"io.containerd.image.name": name}}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [entry]}),
        _blob(_digest(image)): image,
        _blob(_digest(manifest)): manifest,
    }
    with tarfile.open(path, "w") as archive, layer.open("rb") as content:
        for file, data in files.items():
            archive.addfile(_entry(file, len(data), 0o644), io.BytesIO(data))
        archive.addfile(_entry(_blob(layer_digest), layer.stat().st_size, 0o644), content)
    return path


def _entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, _EPOCH
    return info


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
