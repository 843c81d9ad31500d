#!/usr/bin/python3
"""Pulls an image as BuildKit does through a mirror: mirror_pull.py TOML REGISTRY REPOSITORY TAG [USER:SECRET]

TOML is a buildkitd.toml. Its mirror for REGISTRY is asked with `ns=REGISTRY`: HEAD of the tag, then GET by
digest; a challenge is answered by the token endpoint that it names. Every blob is hashed. Prints the
digest that the tag names. Standard library only.
"""

import base64
import hashlib
import json
import pathlib
import re
import sys
import tomllib
import urllib.error
import urllib.parse
import urllib.request

ACCEPT = ", ".join(
    [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "*/*",
    ]
)


class Mirror:
    def __init__(self, configuration, registry, credentials):
        place = configuration["registry"][registry]["mirrors"][0]
        host, _, path = place.partition("/")
        plain = configuration["registry"].get(host, {}).get("http", False)
        self.base = f"{'http' if plain else 'https'}://{host}/v2/{path + '/' if path else ''}"
        self.registry = registry
        self.credentials = credentials
        self.token = None

    def ask(self, method, path):
        request = urllib.request.Request(f"{self.base}{path}?ns={self.registry}", method=method)
        request.add_header("Accept", ACCEPT)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            if error.code != 401 or self.token:
                raise
            self.log_in(error.headers["WWW-Authenticate"])
            return self.ask(method, path)

    def log_in(self, challenge):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {name: fields[name] for name in ("service", "scope") if name in fields}
        request = urllib.request.Request(f"{fields['realm']}?{urllib.parse.urlencode(query)}")
        if self.credentials:
            basic = base64.b64encode(self.credentials.encode()).decode()
            request.add_header("Authorization", f"Basic {basic}")
        self.token = json.load(urllib.request.urlopen(request, timeout=60))["token"]

    def content(self, path, digest):
        content = self.ask("GET", path).read()
        actual = "sha256:" + hashlib.sha256(content).hexdigest()
        if actual != digest:
            sys.exit(f"{path} has the digest {actual}")
        return content


def main(toml, registry, repository, tag, credentials=None):
    mirror = Mirror(tomllib.loads(pathlib.Path(toml).read_text()), registry, credentials)
    digest = mirror.ask("HEAD", f"{repository}/manifests/{tag}").headers["Docker-Content-Digest"]
    manifest = json.loads(mirror.content(f"{repository}/manifests/{digest}", digest))
    for blob in [manifest["config"], *manifest["layers"]]:
        mirror.content(f"{repository}/blobs/{blob['digest']}", blob["digest"])
    print(digest)


main(*sys.argv[1:])
