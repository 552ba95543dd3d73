#!/usr/bin/env bash
# The main job of a virtual cluster in two minutes: an application goes into the virtual cluster, its pods run in one
# namespace of the host, status and names come back. Leaves everything running.
set -euo pipefail
cd "$(dirname "$0")/.."

vcluster=${VCLUSTER:-target/debug/vcluster}
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold= plain=; fi

title() { printf '\n%s== %s ==%s\n' "$bold" "$*" "$plain"; }
# Reads everything: who writes to a pipe that is closed early fails.
first() { awk 'NR == 1'; }
state() { "$vcluster" playground status --json | sed -n "$1" | first; }
# Runs a command, shown as the user would type it.
show() { printf '$ %s\n' "$*"; "$@"; }

if "$vcluster" playground status >/dev/null 2>&1; then
  title "A playground is running already"
else
  title "Starting a host cluster with three simulated nodes, and a virtual cluster on it"
  "$vcluster" playground up
fi

host_config=$(state 's/.*"kubeconfig": "\(.*host.*\)".*/\1/p')
virtual_config=$(state 's/.*"kubeconfig": "\(.*vc-1.*\)".*/\1/p')
namespace=$(state 's/.*"namespace": "\(.*\)".*/\1/p')
dns=$(state 's/.*"dns": "\(.*\)".*/\1/p')
virtual() { KUBECONFIG=$virtual_config kubectl "$@"; }
host() { KUBECONFIG=$host_config kubectl "$@"; }

title "Applying examples/ to the virtual cluster"
virtual apply -f examples/
virtual -n shop rollout status deployment/web --timeout=120s
virtual -n shop rollout status statefulset/db --timeout=120s
virtual -n shop wait --for=condition=complete job/report --timeout=120s

title "What the virtual cluster shows"
virtual -n shop get deployments,statefulsets,daemonsets,jobs,services,configmaps,secrets
virtual -n shop get pods -o wide

title "The same pods in the host, all in namespace $namespace"
host -n "$namespace" get pods,services,configmaps,secrets -o wide

title "Side by side"
printf '%-34s %-10s %-14s %s\n' "VIRTUAL POD (shop)" STATUS ADDRESS "HOST POD ($namespace)"
virtual -n shop get pods --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,I:.status.podIP |
  while read -r name phase address; do
    twin=$(host -n "$namespace" get pods -o name | grep -F "/$name-x-shop-x-" | first)
    printf '%-34s %-10s %-14s %s\n' "$name" "$phase" "$address" "${twin#pod/}"
  done

title "Names: asked at the virtual cluster's own DNS"
show dig +short @"${dns%:*}" -p "${dns##*:}" web.shop.svc.cluster.local A
show dig +short @"${dns%:*}" -p "${dns##*:}" db-0.db.shop.svc.cluster.local A
show dig +short @"${dns%:*}" -p "${dns##*:}" _http._tcp.web.shop.svc.cluster.local SRV

title "Logs and commands go through both clusters"
pod=$(virtual -n shop get pods -l app=web -o name | first)
virtual -n shop logs job/report
virtual -n shop logs "$pod" --tail=1
virtual -n shop exec "$pod" -- cat /etc/shop/shop.properties

title "Everything keeps running"
cat <<EOF
export KUBECONFIG=$virtual_config    # the virtual cluster
export KUBECONFIG=$host_config    # the host

kubectl -n shop get pods               look around
kubectl delete namespace shop          and see the host's namespace $namespace become empty
$vcluster playground status
$vcluster playground down
EOF
