# One image for all three processes: Node, the bundle and the pinner, with the libraries they need and nothing else, not even
# a shell. For several architectures, build on each of them or under emulation: nothing is cross-compiled.
# test/deploy/build-image.sh builds it without pulling images.
ARG NODE_IMAGE=docker.io/library/node:26-trixie-slim
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-trixie
ARG DEBIAN_IMAGE=docker.io/library/debian:trixie-slim

# Only for npm; the image runs the Node of package.json.
FROM ${NODE_IMAGE} AS node

FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN for name in npm npx; do ln -s "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"; done
WORKDIR /opt/csi-driver-bpffs
COPY . .
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/usr/local/cargo/registry \
    make build dist/map && deploy/image/sbom.sh

FROM ${DEBIAN_IMAGE} AS root
# A base image that has them all needs no network.
RUN dpkg --status binutils libatomic1 libstdc++6 >/dev/null 2>&1 \
 || { apt-get update && apt-get install --yes --no-install-recommends binutils libatomic1 libstdc++6; }
COPY --from=build /opt/csi-driver-bpffs/node_modules/node-linux-*/bin/node /opt/csi-driver-bpffs/node_modules/node-linux-*/LICENSE /node/
COPY --from=build /opt/csi-driver-bpffs/dist/*.cjs /opt/csi-driver-bpffs/dist/bpffs-pinner /opt/csi-driver-bpffs/dist/bpffs-delegate \
    /opt/csi-driver-bpffs/dist/map /opt/csi-driver-bpffs/dist/*.cdx.json /dist/
COPY deploy/seccomp/bpf-consumer.json deploy/seccomp/bpf-loader.json deploy/seccomp/install.ts /seccomp/
COPY LICENSE deploy/image/assemble.sh /
RUN sh /assemble.sh /image

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="csi-driver-bpffs" \
      org.opencontainers.image.source="https://github.com/csi-driver-bpffs/csi-driver-bpffs" \
      org.opencontainers.image.description="A Kubernetes CSI driver that gives a pod a volume with exactly the eBPF maps it may use" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=root /image /
# Only the pinner's container runs as root, by its own setting.
USER 65532:65532
ENV PATH=/opt/csi-driver-bpffs/bin MALLOC_ARENA_MAX=1
# The same flags as in bin/csi-driver-bpffs, which a test checks. There is no compile cache: V8 accepts one only on a CPU
# with the features of the CPU that wrote it.
ENTRYPOINT ["/opt/csi-driver-bpffs/bin/node", \
  "--max-semi-space-size=1", "--initial-old-space-size=16", "--max-old-space-size=64", "--optimize-for-size", "--single-threaded", \
  "--no-maglev", "--no-sparkplug", \
  "/opt/csi-driver-bpffs/dist/csi-driver-bpffs.cjs"]
CMD ["--help"]
