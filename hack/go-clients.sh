#!/usr/bin/env bash
# Builds clients that others have written in Go, Helm and kwok, once, into a cache, and shows them in the target directory.
# Without Go or a network they are reported as missing, and what needs them as skipped; continuous integration insists on
# them where Go is installed.
set -euo pipefail

clients=(helm.sh/helm/v3/cmd/helm@v3.19.0 sigs.k8s.io/kwok/cmd/kwok@v0.7.0)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vcluster-rs
directory=${CARGO_TARGET_DIR:-target}/go-clients

mkdir -p "$directory"
if ! command -v go >/dev/null; then
  echo "Go is not installed: no Helm, no kwok" >&2
  exit 0
fi
missing=0
for client in "${clients[@]}"; do
  package=${client%@*} version=${client#*@}
  name=${package##*/}
  built=$cache/$name-$version
  if [ ! -x "$built/$name" ]; then
    echo "building $name $version"
    GOBIN=$built go install "$client" || true
  fi
  if [ -x "$built/$name" ]; then
    ln -sfn "$built/$name" "$directory/$name"
  else
    rm -f "$directory/$name"
    echo "$name $version could not be built" >&2
    missing=1
  fi
done
[ "$missing" = 0 ] || [ "${CI:-}" != true ]
