# Build the archive of a release first, then the image: `make image`, or
#
#   scripts/dist amd64
#   docker build --build-arg VERSION=0.1.0 -t calotype .
#
# deploy/compose.yaml runs it, deploy/README.md says what to know.
#
# The program and its codecs come from the archive in dist/, which needs glibc 2.28 and nothing else. So the system
# needs no packages but the certificates of TLS, and a newer Debian is one argument:
# --build-arg SYSTEM=debian:trixie-slim@sha256:...
ARG SYSTEM=debian:trixie-slim

FROM ${SYSTEM} AS archive
# The builder sets TARGETARCH: amd64 or arm64.
ARG VERSION TARGETARCH
COPY dist/calotype_${VERSION}_linux_${TARGETARCH}.tar.gz /tmp/archive.tar.gz
RUN mkdir /calotype \
 && tar -xzf /tmp/archive.tar.gz -C /calotype --strip-components=1 --no-same-owner

FROM ${SYSTEM}
# Certificates are for S3, PostgreSQL and webhooks over TLS.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --system --gid 10001 calotype \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data \
    --shell /usr/sbin/nologin calotype \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=archive /calotype /usr/lib/calotype
RUN ln -s ../lib/calotype/calotype /usr/bin/calotype

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
