# One target per process: controller, agent, host, deviceplugin.
#     docker build --target agent -t virtfn/agent .
# BASE is any Debian image with Python 3.11 to 3.13 as python3, its venv module, and apt-get (or kmod already in it).
# The default is a manifest list, pinned by what it contains; moving it is a commit (docs/decisions/0018).
# Two builds differ in times only; `make images` fixes those, too.
ARG BASE=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c
# RUNTIME is what the processes run on: it may be smaller than BASE, with the same Python but without pip and venv.
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
# Settings for the package index. As arguments of this stage they are in no shipped image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
# Compiled code contains the order of sets: without a fixed seed it would differ from build to build.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
COPY requirements/build.txt /src/requirements/
RUN python3 -m venv /build && \
    /build/bin/pip install --quiet --require-hashes --only-binary :all: --no-deps --requirement /src/requirements/build.txt
# Dependencies first, from the lock files: a change of code then reuses what was installed.
# pip checks each hash as it downloads, and again as it installs without an index.
COPY requirements/controller.txt requirements/agent.txt requirements/host.txt requirements/deviceplugin.txt /src/requirements/
RUN set -eu; for process in controller agent host deviceplugin; do \
      mkdir -p /venvs/$process/opt; \
      locked="--quiet --require-hashes --only-binary :all: --no-deps --requirement /src/requirements/$process.txt"; \
      python3 -m venv --without-pip /opt/virtfn; \
      rm /opt/virtfn/bin/[Aa]ctivate*; \
      /build/bin/pip download $locked --dest /wheels/$process; \
      /build/bin/pip --python /opt/virtfn/bin/python3 install $locked --no-compile --no-index --find-links /wheels/$process; \
      mv /opt/virtfn /venvs/$process/opt/virtfn; \
    done
# The version, because there is no git to ask here; `make images` sets it. Empty: the fallback in pyproject.toml.
ARG VERSION
COPY pyproject.toml README.md LICENSE /src/
COPY host /src/host
COPY operator /src/operator
COPY deviceplugin /src/deviceplugin
COPY kubectl /src/kubectl
RUN SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION" \
    /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels/virtfn /src
# wheels.sha256 lists what the environment was installed from. Compiled code is marked with its source's hash, unchecked
# at start-up: layers change the sources' times, and a process that has to compile takes three times as long to start.
RUN set -eu; for process in controller agent host deviceplugin; do \
      mv /venvs/$process/opt/virtfn /opt/virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 install --quiet --no-compile --no-deps --no-index --find-links /wheels/virtfn virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 check; \
      for folder in /wheels/$process /wheels/virtfn; do (cd $folder && sha256sum *.whl); done > /opt/virtfn/wheels.sha256; \
      /opt/virtfn/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/virtfn/lib; \
      mv /opt/virtfn /venvs/$process/opt/virtfn; \
    done
# What agent and device plugin have alike and is large is a layer of its own: a node pulls it once, and has its pages in
# memory once.
RUN set -eu; cd /venvs/agent; site=$(echo opt/virtfn/lib/python3*/site-packages); mkdir -p /venvs/grpc/$site; \
    mv $site/grpc /venvs/grpc/$site/; cd /venvs/deviceplugin; \
    diff -r /venvs/grpc/$site/grpc $site/grpc; rm -r $site/grpc
# What the chart's DaemonSet installs on nodes, where the boot unit is asked for.
COPY packaging/virtfn-boot.service /venvs/host/opt/virtfn/boot/
COPY release/virtfn_release/boot_archive.py /src/release/
RUN python3 /src/release/boot_archive.py --host /src/host --version "$VERSION" /venvs/host/opt/virtfn/boot/virtfn.pyz

# PYTHONSAFEPATH: the working directory is never searched for modules.
FROM ${RUNTIME} AS process
LABEL org.opencontainers.image.licenses=Apache-2.0
ENV PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM process AS controller
COPY --from=build /venvs/controller/ /
USER 65532:65532
ENTRYPOINT ["/opt/virtfn/bin/virtfn-operator"]
CMD ["controller"]

FROM process AS grpc
COPY --from=build /venvs/grpc/ /

FROM grpc AS agent
COPY --from=build /venvs/agent/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-operator"]
CMD ["agent"]

FROM process AS host
# kmod's modprobe, because busybox's ignores soft dependencies. KMOD=kmod=VERSION pins it if the base lacks it.
ARG KMOD=kmod
RUN command -v modprobe >/dev/null || { \
      apt-get update && apt-get install -y --no-install-recommends "$KMOD" && \
      rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
        /var/lib/dpkg/*-old /var/log/apt /var/log/dpkg.log /var/log/alternatives.log; }
COPY --from=build /venvs/host/ /
# `virtfn` for `kubectl exec`, after all else: it hides no program. Written out, because a base may set no PATH at all.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/virtfn/bin
ENTRYPOINT ["/opt/virtfn/bin/virtfn-host"]

FROM grpc AS deviceplugin
COPY --from=build /venvs/deviceplugin/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-device-plugin"]
