# One image for operator and agent. Build with the base images of your choice:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm --build-arg GO_IMAGE=golang:1.26-bookworm .
ARG PYTHON_IMAGE=python:3.13-slim-bookworm
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS helm
WORKDIR /src
COPY tools/helm/ ./
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /helm helm.sh/helm/v4/cmd/helm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/cnichain
COPY requirements/base.txt requirements/dev.txt requirements/
# The build backend comes from the same pinned set as everything else.
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/dev.txt \
 && /opt/cnichain/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator/ operator/
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/cnichain/bin/pip install --no-cache-dir --no-deps /wheels/cnichain-*.whl

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
