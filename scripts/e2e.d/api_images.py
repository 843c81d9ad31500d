"""What was pushed, by GitLab's own client library: api_images.py URL ADMIN-TOKEN PROJECT

PROJECT has one repository, its own path, with the tags `one` and `two` of different images. Lists them, protects them, sets the cleanup policy, deletes one and the rest in bulk.
"""

import sys
import time

import gitlab

URL, ADMIN, PROJECT = sys.argv[1:4]


def equal(what, expected, actual):
    if expected != actual:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")
    print("ok", what)


root = gitlab.Gitlab(URL, private_token=ADMIN)
project = root.projects.get(PROJECT)
(repository,) = project.repositories.list(get_all=True)
equal("the repository's path", PROJECT, repository.path)
equal("the same by its id", PROJECT, root.registry_repositories.get(repository.id).path)
equal("tags", ["one", "two"], [tag.name for tag in repository.tags.list(get_all=True)])
equal("a tag's digest", "sha256:", repository.tags.get("one").digest[:7])

rule = project.registry_protection_repository_rules.create(
    {"repository_path_pattern": PROJECT, "minimum_access_level_for_push": "admin"}
)
rule.minimum_access_level_for_delete = "owner"
rule.save()
(listed,) = project.registry_protection_repository_rules.list(get_all=True)
equal("a rule that was changed", ("admin", "owner"), (listed.minimum_access_level_for_push, listed.minimum_access_level_for_delete))

equal("no policy of its own", (False, "1d", 10, "90d", ".*"), tuple(project.container_expiration_policy[key] for key in ("enabled", "cadence", "keep_n", "older_than", "name_regex")))
project.container_expiration_policy_attributes = {"enabled": True, "cadence": "7d", "keep_n": 5, "older_than": None, "name_regex": "one|two", "name_regex_keep": "v.+"}
project.save()
project = root.projects.get(PROJECT)
policy = project.container_expiration_policy
equal("a policy that was set", (True, "7d", 5, None, "one|two", "v.+"), tuple(policy[key] for key in ("enabled", "cadence", "keep_n", "older_than", "name_regex_delete", "name_regex_keep")))
equal("its next run", "2", policy["next_run_at"][:1])
try:
    root.projects.update(project.id, {"container_expiration_policy_attributes": {"name_regex": "("}})
except gitlab.exceptions.GitlabError as error:
    equal("a wrong expression", (400, True), (error.response_code, "container_expiration_policy.name_regex" in str(error.error_message)))
else:
    sys.exit("a wrong expression was taken")

repository.tags.delete("one")
equal("after a delete", ["two"], [tag.name for tag in repository.tags.list(get_all=True)])
events = [event.event_name for event in root.audit_events.list(per_page=20, get_all=False)]
equal("audit events", True, any("rule" in event for event in events))

# The box deletes in bulk as nobody: what a rule keeps from anybody stays.
rule.minimum_access_level_for_delete = ""
rule.save()
repository.tags.delete_in_bulk(name_regex_delete="t.*", name_regex_keep="three")
for _ in range(100):
    if not repository.tags.list(get_all=True):
        break
    time.sleep(0.1)
equal("after deleting in bulk", [], [tag.name for tag in repository.tags.list(get_all=True)])
