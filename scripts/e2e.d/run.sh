#!/usr/bin/env bash
# The part of scripts/e2e that runs inside the namespaces: run.sh BINARY FLOW...
set -euo pipefail

BINARY=$1
shift
flows=("$@")
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
readonly BINARY HERE ROOT

# shellcheck source=scripts/e2e.d/namespace.sh
source "$HERE/namespace.sh"
# shellcheck source=scripts/e2e.d/lib.sh
source "$HERE/lib.sh"
# shellcheck source=scripts/e2e.d/recipes.sh
source "$HERE/recipes.sh"
# shellcheck source=scripts/e2e.d/hub.sh
source "$HERE/hub.sh"
# shellcheck source=scripts/e2e.d/box.sh
source "$HERE/box.sh"
# shellcheck source=scripts/e2e.d/machine.sh
source "$HERE/machine.sh"

namespace_prepare
prepare "$BINARY"
trap stop_all EXIT

step "Docker Hub, played by $(docker-registry --version)"
hub_start
hub_fill

for flow in "${flows[@]}"; do
    step "$flow"
    forget_logins
    # shellcheck source=/dev/null
    source "$HERE/flow-$flow.sh"
    "flow_$flow"
    stop_all
    hub_start
done

# Of all flows together nothing that README and manual tell people to do may be left out.
if [[ $(printf '%s\n' "${flows[@]}" | sort -u) == "$(cd "$HERE" && printf '%s\n' flow-*.sh | sed 's/^flow-//; s/\.sh$//' | sort -u)" ]]; then
    step "README and manual"
    recipes_all_used
fi

summary
