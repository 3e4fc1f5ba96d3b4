# One image for operator and agent, for linux/amd64 and linux/arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/cnichain:0.1.0 --push .
# With base images of your choice: --build-arg PYTHON_IMAGE=... --build-arg GO_IMAGE=...
ARG PYTHON_IMAGE=python:3.13-slim-bookworm
ARG GO_IMAGE=golang:1.26-bookworm

# helm, from the Go module that tools/helm pins with its checksums. Built on the machine's own architecture for the
# other, since a compiler in an emulator takes many times as long.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS helm
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY tools/helm/ ./
RUN version="$(go list -m -f '{{.Version}}' helm.sh/helm/v4)" \
 && CGO_ENABLED=0 GOOS="$TARGETOS" GOARCH="$TARGETARCH" go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" -o /helm helm.sh/helm/v4/cmd/helm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/cnichain && python3 -m venv /build
COPY requirements/base.txt requirements/build.txt requirements/
# The build backend is pinned by its hash like everything else, and stays in this stage.
RUN /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && /opt/cnichain/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator/ operator/
# pip leaves with the stage: nothing is installed at run time, and what is not there needs no updates.
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/cnichain/bin/pip install --no-cache-dir --no-deps /wheels/cnichain-*.whl \
 && /opt/cnichain/bin/pip uninstall --quiet --yes pip

FROM ${PYTHON_IMAGE}
COPY --from=helm /helm /usr/local/bin/helm
COPY --from=build /opt/cnichain /opt/cnichain
ENV PATH=/opt/cnichain/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Pods have a read-only root file system, and official images bring the standard library without compiled files: each
# start of the agent would take 0.3 s longer and keep 5 MB more. pip has compiled what it installed.
RUN python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|ensurepip|site-packages|dist-packages)/' \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# The agent runs as root (it writes /etc/cni/net.d); its DaemonSet says so. The operator needs no user of its own.
USER 65532:65532
ENTRYPOINT ["cnichain"]
