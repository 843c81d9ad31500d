"""GitLab's own client library, unchanged, against the box: api.py URL ADMIN-TOKEN SECRET-FILE

Makes, changes, rotates and removes what a platform engineer would, and leaves the group `acme` with a
token for pulling, whose secret it writes to SECRET-FILE. Ends with an error at the first thing that is not
as GitLab has it.
"""

import sys

import gitlab

URL, ADMIN, SECRET_FILE = sys.argv[1:4]


def equal(what, expected, actual):
    if expected != actual:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")
    print("ok", what)


def refused(what, status, call):
    try:
        call()
    except gitlab.exceptions.GitlabError as error:
        equal(what, status, error.response_code)
    else:
        sys.exit(f"{what}: it was not refused")


def login(secret):
    return gitlab.Gitlab(URL, private_token=secret)


root = login(ADMIN)
root.auth()
equal("auth", "root", root.user.username)
equal("version", True, root.version()[0] != "unknown")
refused("a wrong token", 401, login("wrong").auth)

# Users.
alice = root.users.create(
    {"username": "alice", "name": "Alice", "email": "alice@example.com", "password": "correct horse battery"}
)
equal("users.list", [alice.id], [user.id for user in root.users.list(username="alice", get_all=True)])
alice.block()
equal("block", "blocked", root.users.get(alice.id).state)
alice.unblock()
equal("unblock", "active", root.users.get(alice.id).state)

# Groups and projects.
acme = root.groups.create({"name": "acme", "path": "acme"})
backend = root.groups.create({"name": "backend", "path": "backend", "parent_id": acme.id})
equal("groups.get by path", backend.id, root.groups.get("acme/backend").id)
equal("subgroups", ["acme/backend"], [group.full_path for group in acme.subgroups.list(get_all=True)])
backend.visibility = "public"
backend.save()
equal("group.save", "public", root.groups.get(backend.id).visibility)
names = [f"team-{number:02}" for number in range(25)]
for name in names:
    root.groups.create({"name": name, "path": name})
listed = [group.path for group in root.groups.list(search="team-", per_page=10, iterator=True)]
equal("groups.list over pages", names, listed)
for name in names:
    root.groups.delete(name)
api = root.projects.create({"name": "api", "namespace_id": acme.id})
equal("projects.get by path", api.id, root.projects.get("acme/api").id)
equal("group.projects", [api.id], [project.id for project in acme.projects.list(get_all=True)])

# Members.
member = acme.members.create({"user_id": alice.id, "access_level": gitlab.const.AccessLevel.DEVELOPER})
member.access_level = gitlab.const.AccessLevel.MAINTAINER
member.save()
equal("members_all", 40, backend.members_all.get(alice.id).access_level)
refused("a member twice", 409, lambda: acme.members.create({"user_id": alice.id, "access_level": 30}))

# Personal access tokens.
token = alice.personal_access_tokens.create({"name": "laptop", "scopes": ["api"], "expires_at": "2099-01-31"})
equal("expires_at", "2099-01-31", token.expires_at)
as_alice = login(token.token)
as_alice.auth()
equal("the token speaks for alice", "alice", as_alice.user.username)
refused("only administrators make top-level groups", 403, lambda: as_alice.groups.create({"name": "x", "path": "x"}))
equal("self", token.id, as_alice.personal_access_tokens.get("self").id)
own = as_alice.personal_access_tokens.get("self")
own.rotate(self_rotate=True)
refused("the rotated token", 401, as_alice.auth)
as_alice = login(own.token)
as_alice.auth()
equal("one active token", 1, len(as_alice.personal_access_tokens.list(state="active", get_all=True)))
refused("rotated again", 401, lambda: login(token.token).http_post("/personal_access_tokens/self/rotate"))
refused("that costs the whole family", 401, as_alice.auth)

# Tokens of groups and projects.
for place in (acme, api):
    bot = place.access_tokens.create({"name": "bot", "scopes": ["api"], "access_level": 30})
    equal("access_tokens.get", 30, place.access_tokens.get(bot.id).access_level)
    refused("a bot makes no tokens", 403, lambda: login(bot.token).http_post(f"/{place.manager.path.strip('/')}/{place.id}/access_tokens", post_data={"name": "x", "scopes": ["api"]}))
    bot.rotate()
    equal("a rotated bot reads its place", place.id, login(bot.token).http_get(f"{place.manager.path}/{place.id}")["id"])
    place.access_tokens.delete(bot.id)
    refused("a revoked bot", 401, lambda: login(bot.token).http_get(f"{place.manager.path}/{place.id}"))

# Deploy tokens.
for place in (acme, api):
    deploy = place.deploytokens.create({"name": "k8s", "scopes": ["read_registry"], "username": f"k8s-{place.id}"})
    equal("deploytokens.list", [deploy.id], [one.id for one in place.deploytokens.list(active=True, get_all=True)])
    equal("deploy_tokens of the box", True, deploy.id in [one.id for one in root.deploytokens.list(get_all=True)])
    place.deploytokens.delete(deploy.id)

# Feature flags, and job tokens, which GitLab does not make by REST.
flag = "enforce_abilities_check_for_dependency_proxy"
root.features.set(flag, False, group="acme")
states = {feature.name: feature.state for feature in root.features.list(get_all=True)}
equal("a flag for a group", "conditional", states[flag])
root.features.delete(flag)
job = root.http_post(f"/projects/{api.id}/job_tokens", post_data={"ttl": "10m", "user_id": alice.id})
equal("a job token", "bwj_", job["token"][:4])
root.http_delete(f"/projects/{api.id}/job_tokens/{job['id']}")

# Away with it, all but the group and a token to pull with.
api.delete()
refused("a removed project", 404, lambda: root.projects.get(api.id))
backend.delete()
acme.members.delete(alice.id)
alice.delete()
refused("a removed user", 404, lambda: root.users.get(alice.id))
pull = acme.access_tokens.create({"name": "pull", "scopes": ["read_registry", "write_registry"]})
with open(SECRET_FILE, "w", encoding="utf-8") as file:
    file.write(pull.token)
