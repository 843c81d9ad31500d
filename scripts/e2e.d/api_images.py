"""What was pushed, by GitLab's own client library: api_images.py URL ADMIN-TOKEN PROJECT

PROJECT has one repository, its own path, with the tags `one` and `two` of different images. Lists them, protects them, deletes one.
"""

import sys

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

repository.tags.delete("one")
equal("after a delete", ["two"], [tag.name for tag in repository.tags.list(get_all=True)])
events = [event.event_name for event in root.audit_events.list(per_page=20, get_all=False)]
equal("audit events", True, any("rule" in event for event in events))
