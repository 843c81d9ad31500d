//! Images to pull: bytes that look random, manifests and indexes that fit them. Not meant to be run.

use breakwater::oci::{Digest, MediaType};

/// An image of one platform.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: MediaType,
}

impl Image {
    /// An OCI image with layers of these sizes. The same seed and sizes give the same bytes.
    pub(crate) fn oci(seed: u64, sizes: &[usize]) -> Self {
        Self::build(
            seed,
            sizes,
            MediaType::OciManifest,
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )
    }

    /// The same as Docker's schema 2.
    pub(crate) fn docker(seed: u64, sizes: &[usize]) -> Self {
        Self::build(
            seed,
            sizes,
            MediaType::DockerManifest,
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
    }

    fn build(
        seed: u64,
        sizes: &[usize],
        media_type: MediaType,
        config_type: &str,
        layer_type: &str,
    ) -> Self {
        let layers: Vec<Vec<u8>> = sizes
            .iter()
            .zip(1..)
            .map(|(size, n)| noise(seed.wrapping_mul(1000).wrapping_add(n), *size))
            .collect();
        let ids: Vec<_> = layers
            .iter()
            .map(|layer| Digest::of(layer).to_string())
            .collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": seed.to_string()}},
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        let described: Vec<_> = layers
            .iter()
            .map(|layer| descriptor(layer_type, layer))
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type.as_str(),
            "config": descriptor(config_type, &config), "layers": described,
        });
        Self {
            config,
            layers,
            manifest: serde_json::to_vec_pretty(&manifest).unwrap(),
            media_type,
        }
    }

    /// The manifest's digest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Config and layers.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The digest of layer `n`.
    pub(crate) fn layer_digest(&self, n: usize) -> Digest {
        Digest::of(&self.layers[n])
    }
}

/// An image of several platforms.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: MediaType,
    pub(crate) images: Vec<Image>,
}

impl Index {
    /// An index over images, each with its architecture; Docker's manifest list if the first image is
    /// Docker's.
    pub(crate) fn of(images: &[(&str, &Image)]) -> Self {
        let docker = images[0].1.media_type == MediaType::DockerManifest;
        let media_type = if docker {
            MediaType::DockerList
        } else {
            MediaType::OciIndex
        };
        let manifests: Vec<_> = images
            .iter()
            .map(|(architecture, image)| {
                let mut one = descriptor(image.media_type.as_str(), &image.manifest);
                one["platform"] = serde_json::json!({"architecture": architecture, "os": "linux"});
                one
            })
            .collect();
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type.as_str(), "manifests": manifests,
        });
        Self {
            bytes: serde_json::to_vec_pretty(&index).unwrap(),
            media_type,
            images: images.iter().map(|(_, image)| (*image).clone()).collect(),
        }
    }

    /// The index's digest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len(),
    })
}

/// Bytes that do not compress, the same for the same seed (xorshift).
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
