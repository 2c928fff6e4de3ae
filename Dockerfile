# One target per process: controller, agent, host, deviceplugin.
#     docker build --target agent -t virtfn/agent .
# BASE is any Debian image with Python 3.11 to 3.13 as python3, its venv module, and apt-get (or kmod already in it).
# The default is a manifest list, pinned by what it contains; moving it is a commit (docs/decisions/0018).
# Built twice, the images are the same but for times; `make images` sets those, too.
ARG BASE=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c
# What the processes run on, when it is smaller than what builds them: the same Python, without pip and venv.
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
# The builder's way to its package index. As arguments of this stage they are in no image that is shipped.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
# The order of a set is written into compiled code: without the seed it would differ from build to build.
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
# What is built here, for there is no git to ask; `make images` says it. Empty: the fallback in pyproject.toml.
ARG VERSION
COPY pyproject.toml README.md LICENSE /src/
COPY host /src/host
COPY operator /src/operator
COPY deviceplugin /src/deviceplugin
RUN SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION" \
    /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels/virtfn /src
# wheels.sha256 says what the environment was made from. Compiled code carries the hash of its source, not its time,
# and nobody compares it at start-up: times are set anew in layers, and a process that compiles starts three times as slowly.
RUN set -eu; for process in controller agent host deviceplugin; do \
      mv /venvs/$process/opt/virtfn /opt/virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 install --quiet --no-compile --no-deps --no-index --find-links /wheels/virtfn virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 check; \
      for folder in /wheels/$process /wheels/virtfn; do (cd $folder && sha256sum *.whl); done > /opt/virtfn/wheels.sha256; \
      /opt/virtfn/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/virtfn/lib; \
      mv /opt/virtfn /venvs/$process/opt/virtfn; \
    done

# Safe path: the working directory is never searched for modules.
FROM ${RUNTIME} AS process
LABEL org.opencontainers.image.licenses=Apache-2.0
ENV PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM process AS controller
COPY --from=build /venvs/controller/ /
USER 65532:65532
ENTRYPOINT ["/opt/virtfn/bin/virtfn-operator"]
CMD ["controller"]

FROM process AS agent
COPY --from=build /venvs/agent/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-operator"]
CMD ["agent"]

FROM process AS host
# modprobe of kmod: busybox's ignores soft dependencies. KMOD=kmod=VERSION pins it where a base brings none.
ARG KMOD=kmod
RUN command -v modprobe >/dev/null || { \
      apt-get update && apt-get install -y --no-install-recommends "$KMOD" && \
      rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
        /var/lib/dpkg/*-old /var/log/apt /var/log/dpkg.log /var/log/alternatives.log; }
COPY --from=build /venvs/host/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-host"]

FROM process AS deviceplugin
COPY --from=build /venvs/deviceplugin/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-device-plugin"]
