#!/usr/bin/python3
"""Writes OCI image layouts for scripts/e2e: images.py DIRECTORY NAME[@SEED]...

Their layers hold random bytes from fixed seeds, so they cannot be compressed, and their
digests are the same in every run; another SEED makes an image of the same shape with other
bytes. Standard library only; nothing is downloaded.
"""

import gzip
import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IN_TOTO = "application/vnd.in-toto+json"


class Layout:
    """One OCI image layout: https://github.com/opencontainers/image-spec/blob/main/image-layout.md"""

    def __init__(self, directory, seed):
        self.directory = directory
        self.seed = seed
        (directory / "blobs" / "sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    def json(self, media_type, value):
        return self.blob(media_type, json.dumps(value).encode())

    def layer(self, name, size):
        """A layer with one file of `size` random bytes, and its diff id."""
        data = random.Random(name + self.seed).randbytes(size)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = size
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
        tar_bytes = archive.getvalue()
        diff_id = "sha256:" + hashlib.sha256(tar_bytes).hexdigest()
        # Level 0: random bytes get no smaller, and the media type is the usual one.
        return self.blob(LAYER, gzip.compress(tar_bytes, compresslevel=0, mtime=0)), diff_id

    def image(self, architecture, layers):
        """A manifest for one platform, as a descriptor. `layers` are pairs of name and size."""
        made = [self.layer(name, size) for name, size in layers]
        config = self.json(
            CONFIG,
            {
                "architecture": architecture,
                "os": "linux",
                "created": "2024-01-01T00:00:00Z",
                "config": {"Cmd": ["/bin/true"]},
                "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
                "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "images.py"} for _ in made],
            },
        )
        return self.json(
            MANIFEST,
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": [descriptor for descriptor, _ in made],
            },
        )

    def index(self, manifests):
        return self.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})

    def tag(self, descriptor):
        descriptor = dict(descriptor, annotations={"org.opencontainers.image.ref.name": "latest"})
        (self.directory / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
        )


def platform(descriptor, architecture, **more):
    system = "unknown" if architecture == "unknown" else "linux"
    return dict(descriptor, platform={"architecture": architecture, "os": system}, **more)


def attestation(layout, subject):
    """What BuildKit puts beside an image: a manifest for no platform that clients skip."""
    statement = layout.json(IN_TOTO, {"_type": "https://in-toto.io/Statement/v0.1", "subject": []})
    config = layout.json(
        CONFIG,
        {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]}},
    )
    manifest = layout.json(
        MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement]}
    )
    annotations = {
        "vnd.docker.reference.digest": subject["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return platform(manifest, "unknown", annotations=annotations)


def both_architectures(layout, name):
    return [
        platform(layout.image(architecture, [(f"{name}-{architecture}", 300_000)]), architecture)
        for architecture in ("amd64", "arm64")
    ]


def small(layout):
    return layout.image("amd64", [("small", 1000)])


def six(layout):
    return layout.image("amd64", [(f"six-{number}", 18_000_000) for number in range(6)])


def six_next(layout):
    """What becomes of six with one change."""
    return layout.image("amd64", [(f"six-{number}", 18_000_000) for number in range(6)] + [("next", 1_000_000)])


def line(layout):
    """For bad lines: large enough to be cut in each layer, small enough to be pulled a dozen times."""
    return layout.image("amd64", [(f"line-{number}", 5_000_000) for number in range(6)])


def multi(layout):
    manifests = both_architectures(layout, "multi")
    return layout.index(manifests + [attestation(layout, manifests[0])])


def schema2(layout):
    return layout.image("amd64", [("schema2-0", 200_000), ("schema2-1", 100_000)])


def alpine(layout):
    """The image of the README's recipes."""
    return layout.index(both_architectures(layout, "alpine"))


def big(layout):
    return layout.image("amd64", [("big", 200_000_000)])


def main():
    root = pathlib.Path(sys.argv[1])
    makers = {make.__name__: make for make in (small, six, line, multi, schema2, alpine, big, six_next)}
    for wanted in sys.argv[2:]:
        name, _, seed = wanted.partition("@")
        layout = Layout(root / wanted, seed)
        layout.tag(makers[name](layout))


main()
