# kepmd as an image of one file, to copy from, or to run beside a node:
#
#   docker build -t kepmd .
#   COPY --from=kepmd /epmd /app/erts-13.1.5/bin/epmd        (in your own Dockerfile)
#
# For another machine, or several (--platform linux/amd64,linux/arm64), it is cross built, not emulated.
# scripts/build-image makes the same without Docker and without a registry.
FROM --platform=$BUILDPLATFORM debian:12-slim AS build
ARG TARGETARCH
COPY . /src
RUN /src/scripts/build-static --arch "$TARGETARCH" /out/epmd

FROM scratch
LABEL org.opencontainers.image.title="kepmd" \
      org.opencontainers.image.description="An epmd that knows the nodes of the cluster" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-1-Clause AND BSD-3-Clause AND MIT AND curl"
COPY --from=build /out/epmd /epmd
USER 65532:65532
EXPOSE 4369
ENTRYPOINT ["/epmd"]
