# truckflow alone: one binary on Debian's base image, run by an unprivileged user.
#
#     docker build -t truckflow . && docker run --rm truckflow --help

FROM rust:1.95.0-slim-trixie AS build
# Builds librdkafka, OpenSSL and zlib from source.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --features vendored \
    && install -D --strip target/release/truckflow /made/usr/local/bin/truckflow \
    && mkdir -p /made/var/lib/truckflow

FROM debian:13.8-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /made/usr /usr
COPY LICENSE-MIT LICENSE-APACHE THIRD-PARTY.txt /usr/share/doc/truckflow/
# A volume that is mounted here gets this owner.
COPY --from=build --chown=10001:10001 /made/var/lib/truckflow /var/lib/truckflow
USER 10001:10001
WORKDIR /var/lib/truckflow
ENTRYPOINT ["truckflow"]
CMD ["--help"]
