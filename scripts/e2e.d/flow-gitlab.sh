# shellcheck shell=bash
# The GitLab CI recipe: its variables, the lines of its job, and the runner's own login. Sourced.

# Of the docker flow: a daemon without images.
# shellcheck source=scripts/e2e.d/flow-docker.sh
source "$HERE/flow-docker.sh"

flow_gitlab() {
    recipe_to docker-mirror /etc/docker/daemon.json
    box_new
    docker_empty
    local job=$HOME/job config
    mkdir -p "$job"
    recipe_to dockerfile "$job/Dockerfile"
    recipe_to gitlab-ci "$job/.gitlab-ci.yml"
    # shellcheck disable=SC1090 # the README's lines
    source <(recipe gitlab-variables | sed 's/^/export /')

    # What a runner makes of the job: its lines, one after the other.
    sed -n 's/^    - //p' "$job/.gitlab-ci.yml" >"$job/script"
    check_equal "the README's job has lines" 3 "$(wc -l <"$job/script")"
    check "the README's job runs, with GitLab's names for server, user, password and prefix" \
        env -C "$job" bash -euo pipefail "$job/script"
    check_contains "... and pulled by the group's path" "@${HUB_DIGESTS[alpine]}" \
        "$(docker image inspect --format '{{.RepoDigests}}' "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/alpine" 2>&1)"

    docker_empty
    config=$(recipe_run gitlab-auth-config)
    mkdir -p "$HOME/.docker"
    echo "$config" >"$HOME/.docker/config.json"
    check "the README's DOCKER_AUTH_CONFIG logs the runner in" \
        docker pull --quiet "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/small:latest"
    rm -rf "$HOME/.docker" "$job"
    check_fails "... and without it there is no pull" \
        docker pull --quiet "$CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX/small:latest"
    unset "${!CI_DEPENDENCY_PROXY@}"
}
