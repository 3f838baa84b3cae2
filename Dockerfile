# Build:  docker build -t qsm-bids-app .          (podman and buildah take the same file)
# Room:   see README, "Container image". Arguments:
#   WITH_FASTSURFER=1|0    FastSurfer with its checkpoints (about 4 GB with torch for the processor, 9 GB for CUDA)
#   FASTSURFER_DEVICE      cpu or cuda
#   WITH_TEMPLATEFLOW=1|0  the template files that the default options need
#   BASE_IMAGE             any Debian 12
ARG BASE_IMAGE=debian:12.11-slim
ARG FASTSURFER_VERSION=2.5.4
ARG FASTSURFER_DEVICE=cpu
ARG WITH_FASTSURFER=1
ARG WITH_TEMPLATEFLOW=1

# FastSurfer's own release image brings code, checkpoints and a self-contained Python; only the chosen stage is built.
FROM deepmi/fastsurfer:${FASTSURFER_DEVICE}-v${FASTSURFER_VERSION} AS fastsurfer-1
# Files are copied from this stage, it is not the image that runs: hence root.
# hadolint ignore=DL3002
USER 0:0
RUN mkdir -p /opt/python && rm -rf /fastsurfer/.git /fastsurfer/Docker /fastsurfer/Tutorial /fastsurfer/doc /fastsurfer/test
FROM ${BASE_IMAGE} AS fastsurfer-0
RUN mkdir -p /fastsurfer /venv /opt/python
# A stage of this file, no image that could be pinned.
# hadolint ignore=DL3006
FROM fastsurfer-${WITH_FASTSURFER} AS fastsurfer

FROM ${BASE_IMAGE} AS base
COPY .ci/install-image.sh /tmp/install-image.sh
RUN /tmp/install-image.sh system && rm /tmp/install-image.sh

FROM base AS app
COPY . /src
RUN /src/.ci/install-image.sh build && /src/.ci/install-image.sh app /src /opt/qsm && /src/.ci/install-image.sh isolate /opt/qsm && /src/.ci/install-image.sh kernels /src /opt/qsm

FROM app AS templateflow-1
ENV TEMPLATEFLOW_HOME=/opt/templateflow
RUN mkdir -p /opt/templateflow && /opt/qsm/bin/python -m bids_app.adapters.fetch && chmod -R a+rX /opt/templateflow
FROM base AS templateflow-0
RUN mkdir -p /opt/templateflow
# A stage of this file, no image that could be pinned.
# hadolint ignore=DL3006
FROM templateflow-${WITH_TEMPLATEFLOW} AS templateflow

FROM base
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="qsm-bids-app" \
      org.opencontainers.image.description="Quantitative susceptibility mapping as a BIDS App" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.authors="The QSM BIDS App developers"
COPY --from=fastsurfer /opt/python /opt/python
COPY --from=fastsurfer /venv /venv
COPY --from=fastsurfer /fastsurfer /fastsurfer
COPY --from=templateflow /opt/templateflow /opt/templateflow
COPY --from=app /opt/qsm /opt/qsm
COPY .ci/install-image.sh /opt/qsm/share/install-image.sh
# Nothing is written outside the output and work directories: no home, no caches, no downloads.
ENV PATH=/opt/qsm/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONPATH= \
    PYTHONHOME= \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0 \
    FASTSURFER_HOME=/fastsurfer \
    FASTSURFER_PYTHON="/venv/bin/python3 -s" \
    NO_ET=1
RUN /opt/qsm/share/install-image.sh check /opt/qsm
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["/opt/qsm/bin/qsm-bids-app"]
CMD ["--help"]
