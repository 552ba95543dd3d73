#!/usr/bin/env bash
# Makes sure that the commands named as arguments exist: installs their Debian packages when it may, else says what is
# missing and stops.
set -euo pipefail

# The Debian package of a command that is not called like its package.
package_of() {
  case "$1" in
    kubectl) echo kubernetes-client ;;
    dig) echo dnsutils ;;
    protoc) echo protobuf-compiler libprotobuf-dev ;; # the second has the .proto files that others import
    etcd) echo etcd-server ;;
    etcdctl) echo etcd-client ;;
    postgres) echo postgresql ;;
    mariadbd) echo mariadb-server-core mariadb-client-core ;; # without the service that mariadb-server starts
    cc) echo gcc libc6-dev ;;
    c++) echo g++ ;;
    *) echo "$1" ;;
  esac
}

# Whether a command exists; python3-venv is none, but a part of Python that Debian has put elsewhere.
exists() {
  case "$1" in
    python3-venv) python3 -c "import ensurepip" 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# Servers are not on everybody's PATH.
for directory in /usr/sbin /usr/lib/postgresql/*/bin; do
  PATH+=:$directory
done

missing=()
for command in "$@"; do
  exists "$command" || missing+=("$command")
done
[ ${#missing[@]} -gt 0 ] || exit 0

packages=()
for command in "${missing[@]}"; do
  if [ "$command" = cargo ]; then
    echo "missing: cargo. Install Rust 1.95 or newer: https://rustup.rs" >&2
    exit 1
  fi
  if [ "$command" = cargo-fuzz ]; then
    echo "missing: cargo-fuzz. Install it: cargo install cargo-fuzz" >&2
    exit 1
  fi
  read -ra names <<<"$(package_of "$command")"
  packages+=("${names[@]}")
done

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}. Install them first; on Debian: apt-get install ${packages[*]}" >&2
  exit 1
fi

# Tests start servers of their own: the services that come with packages stay off.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

echo "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
wait_for_lock=(-o DPkg::Lock::Timeout=120)
apt-get "${wait_for_lock[@]}" -qq update
apt-get "${wait_for_lock[@]}" -qq -y install --no-install-recommends "${packages[@]}" >/dev/null
