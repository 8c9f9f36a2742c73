# Build with `make image`, or: docker build -t calotype .
# deploy/compose.yaml runs it, deploy/README.md says what to know.
#
# Go and Node are pinned to a release. The system is pinned to Debian 12: `docker build --pull
# --no-cache` brings its security updates, which is where new versions of the codecs come from.
# Pin an image further by its digest: --build-arg SYSTEM=debian:bookworm-slim@sha256:...
ARG GO=golang:1.26.8-bookworm
ARG NODE=node:22.20.0-bookworm-slim
ARG SYSTEM=debian:bookworm-slim

# The demo page.
FROM ${NODE} AS web
WORKDIR /src
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web/ ./
RUN npm run build

# The program. The same Debian as below, so that it is linked with the libvips that it will find.
FROM ${GO} AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    libvips-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV GOFLAGS=-trimpath GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN go mod download
COPY cmd/ cmd/
COPY internal/ internal/
COPY --from=web /src/dist/ internal/pages/dist/
ARG VERSION=development
RUN go build -ldflags "-s -w -X main.version=${VERSION}" -o /calotype ./cmd/calotype

FROM ${SYSTEM}
# libvips42 brings the codecs that the workers load; libheif1 is named because HEIC and AVIF come
# by a plugin in newer releases. ca-certificates is for S3 and PostgreSQL over TLS.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates libheif1 libvips42 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /data \
    --shell /usr/sbin/nologin calotype \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY LICENSE /usr/share/doc/calotype/LICENSE
COPY --from=build /calotype /usr/local/bin/calotype

# A number, so that an orchestrator can see that it is not root's.
USER 10001:10001
ENV CALOTYPE_LISTEN=:8080 CALOTYPE_DATA=/data
# The only place that is written to: the root may be read-only.
VOLUME /data
WORKDIR /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["calotype", "healthcheck"]
ENTRYPOINT ["calotype"]
CMD ["serve"]
