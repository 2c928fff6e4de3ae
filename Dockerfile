# One target per process: controller, agent, host, deviceplugin.
#     docker build --target agent -t virtfn/agent .
# BASE is any image with Python 3.11 or newer as python3, its venv module, and apt-get (or kmod already in it).
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /build && /build/bin/pip install --quiet "hatchling>=1.27"
# Dependencies first, from the project's own lists: a change of code then reuses what was installed.
COPY pyproject.toml /src/
RUN set -eu; for process in controller agent host deviceplugin; do \
      python3 -c "import sys, tomllib; \
        print(*tomllib.load(open('/src/pyproject.toml', 'rb'))['project']['optional-dependencies'].get(sys.argv[1], []), sep='\n')" \
        $process > /src/$process.txt; \
      mkdir -p /venvs/$process/opt; \
      python3 -m venv --without-pip /opt/virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 install --quiet --only-binary :all: -r /src/$process.txt; \
      mv /opt/virtfn /venvs/$process/opt/virtfn; \
    done
COPY README.md LICENSE /src/
COPY host /src/host
COPY operator /src/operator
COPY deviceplugin /src/deviceplugin
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /src/wheels /src
RUN set -eu; for process in controller agent host deviceplugin; do \
      mv /venvs/$process/opt/virtfn /opt/virtfn; \
      /build/bin/pip --python /opt/virtfn/bin/python3 install --quiet --no-deps --no-index /src/wheels/*.whl; \
      mv /opt/virtfn /venvs/$process/opt/virtfn; \
    done

# Safe path: the working directory is never searched for modules.
FROM ${BASE} AS process
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
# modprobe of kmod: busybox's ignores soft dependencies.
RUN command -v modprobe >/dev/null || \
    { apt-get update && apt-get install -y --no-install-recommends kmod && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /venvs/host/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-host"]

FROM process AS deviceplugin
COPY --from=build /venvs/deviceplugin/ /
ENTRYPOINT ["/opt/virtfn/bin/virtfn-device-plugin"]
