#!/usr/bin/env bash
# Measures the store beside etcd and k3s's kine and prints a table with ratios. kine is built once, with Go, into a cache;
# without Go it is reported as not there. Arguments are passed on: --quick, --dir DIRECTORY, --cases puts,watch, ...
set -euo pipefail

version=v0.16.4
target=${CARGO_TARGET_DIR:-target}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vcluster-rs/kine-$version

kine=${KINE:-$cache/kine}
if [ ! -x "$kine" ] && [ -z "${KINE:-}" ] && command -v go >/dev/null; then
  echo "building kine $version"
  GOBIN=$cache go install "github.com/k3s-io/kine@$version" || echo "kine could not be built"
fi
exec "$target/release/examples/bench-store" --kine "$kine" "$@"
