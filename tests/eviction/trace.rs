//! Synthetic traces: which image is pulled when. The same seed gives the same trace.

use breakwater::time::Timestamp;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

pub(crate) type BlobId = usize;
pub(crate) type ImageId = usize;

pub(crate) struct Pull {
    pub(crate) at: Timestamp,
    pub(crate) image: ImageId,
}

pub(crate) struct Trace {
    pub(crate) name: &'static str,
    /// Bytes of each blob.
    pub(crate) sizes: Vec<u64>,
    /// The blobs of each image, its manifest first.
    pub(crate) images: Vec<Vec<BlobId>>,
    /// In order of time.
    pub(crate) pulls: Vec<Pull>,
}

impl Trace {
    /// The bytes of everything that is pulled, each blob once.
    pub(crate) fn footprint(&self) -> u64 {
        let mut seen = vec![false; self.sizes.len()];
        for pull in &self.pulls {
            for blob in &self.images[pull.image] {
                seen[*blob] = true;
            }
        }
        (self.sizes.iter().zip(seen))
            .filter_map(|(size, seen)| seen.then_some(size))
            .sum()
    }
}

/// SplitMix64: good enough here, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Between `low` and `high`, each order of magnitude as likely as another.
    fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// As layers are distributed in IBM's traces of registries: 65 % are below 1 MB, 80 % below 10 MB, and the rest
    /// has a heavy tail, up to 4 GB.
    fn layer_size(&mut self) -> u64 {
        let size = match self.unit() {
            share if share < 0.65 => self.log_uniform(200.0, 1e6),
            share if share < 0.80 => self.log_uniform(1e6, 1e7),
            // A Pareto distribution with exponent 1.
            _ => (1e7 / (1.0 - self.unit())).min(4e9),
        };
        size as u64
    }
}

/// Images in the order of how popular they are: the one at place `n` is pulled in proportion to 1/nᵉ.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|place| {
            sum += (place as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, random: &mut Random) -> usize {
        let point = random.unit() * self.0.last().copied().unwrap_or(0.0);
        self.0
            .partition_point(|sum| *sum <= point)
            .min(self.0.len() - 1)
    }
}

/// What is put together to a trace.
struct Builder {
    random: Random,
    trace: Trace,
    /// Layers that images are built on.
    bases: Vec<Vec<BlobId>>,
}

impl Builder {
    fn new(name: &'static str, seed: u64, bases: usize) -> Self {
        let mut builder = Self {
            random: Random(seed),
            trace: Trace {
                name,
                sizes: Vec::new(),
                images: Vec::new(),
                pulls: Vec::new(),
            },
            bases: Vec::new(),
        };
        for _ in 0..bases {
            let base = builder.layers(1, 4);
            builder.bases.push(base);
        }
        builder
    }

    fn blob(&mut self, size: u64) -> BlobId {
        self.trace.sizes.push(size);
        self.trace.sizes.len() - 1
    }

    fn layers(&mut self, low: usize, high: usize) -> Vec<BlobId> {
        let count = self.random.between(low, high);
        (0..count)
            .map(|_| {
                let size = self.random.layer_size();
                self.blob(size)
            })
            .collect()
    }

    /// An image of its own manifest and configuration, of `shared` layers, and of some of its own.
    fn image(&mut self, shared: &[BlobId], low: usize, high: usize) -> ImageId {
        let mut blobs = vec![self.blob(2_000), self.blob(6_000)];
        blobs.extend(shared);
        blobs.extend(self.layers(low, high));
        self.trace.images.push(blobs);
        self.trace.images.len() - 1
    }

    fn any_base(&mut self) -> Vec<BlobId> {
        // Some bases are built on far more often than others.
        let zipf = Zipf::new(self.bases.len(), 1.0);
        let place = zipf.draw(&mut self.random);
        self.bases[place].clone()
    }

    /// Another tag of the same repository: some of its layers are the same, and now and then all of them, because it
    /// is another name for the same manifest.
    fn next_version(&mut self, of: ImageId) -> ImageId {
        let blobs = self.trace.images[of].clone();
        if self.random.chance(0.15) {
            self.trace.images.push(blobs);
            return self.trace.images.len() - 1;
        }
        let layers = &blobs[2..];
        let kept = self.random.between(layers.len() / 2, layers.len());
        self.image(&layers[..kept], 1, 3)
    }

    /// `count` images in repositories of up to eight tags.
    fn catalogue(&mut self, count: usize) -> Vec<ImageId> {
        let mut images = Vec::new();
        while images.len() < count {
            let base = self.any_base();
            let mut image = self.image(&base, 1, 6);
            images.push(image);
            for _ in 0..self.random.below(8) {
                image = self.next_version(image);
                images.push(image);
            }
        }
        images.truncate(count);
        for place in (1..count).rev() {
            images.swap(place, self.random.below(place + 1));
        }
        images
    }

    /// `times` pulls of one image, a few seconds apart.
    fn pull(&mut self, at: i64, image: ImageId, times: usize) {
        for _ in 0..times {
            let after = self.random.below(120) as i64;
            self.trace.pulls.push(Pull {
                at: Timestamp(at + after),
                image,
            });
        }
    }

    /// Now and then many machines want the same at once.
    fn burst(&mut self) -> usize {
        match self.random.unit() {
            share if share < 0.70 => 1,
            share if share < 0.95 => self.random.between(2, 5),
            _ => self.random.between(10, 40),
        }
    }

    /// A moment of a working day, around noon more often than not.
    fn working_hours(&mut self, day: i64) -> i64 {
        let hours = 6.0 + 8.0 * (self.random.unit() + self.random.unit());
        day * DAY + (hours * HOUR as f64) as i64
    }

    fn done(mut self) -> Trace {
        self.trace.pulls.sort_by_key(|pull| pull.at);
        self.trace
    }
}

/// How long and how large the traces are.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) days: i64,
    /// Images of the catalogues.
    pub(crate) images: usize,
    /// Pulls a day that are not the subject of the trace, bursts counted once.
    pub(crate) a_day: usize,
}

impl Scale {
    /// Pulls on that day: on the two of the weekend a fifth of the others'.
    fn on(self, day: i64) -> usize {
        if day % 7 < 5 {
            self.a_day
        } else {
            self.a_day / 5
        }
    }
}

/// Popularity as Zipf has it, in bursts of whole images.
pub(crate) fn zipf(seed: u64, scale: Scale) -> Trace {
    let mut builder = Builder::new("zipf", seed, scale.images / 40);
    let images = builder.catalogue(scale.images);
    let popular = Zipf::new(images.len(), 0.9);
    for day in 0..scale.days {
        for _ in 0..scale.on(day) {
            let at = builder.working_hours(day);
            let image = images[popular.draw(&mut builder.random)];
            let times = builder.burst();
            builder.pull(at, image, times);
        }
    }
    builder.done()
}

/// A CI farm: a few base images in all jobs, some tools on some days, and very many images that one pipeline builds on
/// such a base, pulls a few times within the hour, and nobody pulls again.
pub(crate) fn farm(seed: u64, scale: Scale) -> Trace {
    let mut builder = Builder::new("farm", seed, scale.images / 40);
    let bases = builder.catalogue(scale.images / 50);
    let tools = builder.catalogue(scale.images / 2);
    let popular = Zipf::new(bases.len(), 0.8);
    let sometimes = Zipf::new(tools.len(), 0.6);
    for day in 0..scale.days {
        for _ in 0..scale.on(day) {
            let at = builder.working_hours(day);
            let base = bases[popular.draw(&mut builder.random)];
            let times = builder.burst();
            builder.pull(at, base, times);
            if builder.random.chance(0.5) {
                let tool = tools[sometimes.draw(&mut builder.random)];
                let times = builder.burst();
                builder.pull(at, tool, times);
            }
            if builder.random.chance(0.5) {
                let below = builder.trace.images[base][2..].to_vec();
                let built = builder.image(&below, 1, 3);
                for stage in 0..builder.random.between(1, 3) as i64 {
                    let times = builder.random.between(1, 4);
                    builder.pull(at + stage * HOUR / 4, built, times);
                }
            }
        }
    }
    builder.done()
}

/// Ordinary pulls by day, and every night something that pulls all that there is.
pub(crate) fn scan(seed: u64, scale: Scale) -> Trace {
    let mut trace = zipf(seed, scale);
    trace.name = "scan";
    for day in 0..scale.days {
        for image in 0..trace.images.len() {
            let after = image as i64 * 3 * HOUR / trace.images.len() as i64;
            trace.pulls.push(Pull {
                at: Timestamp(day * DAY + HOUR + after),
                image,
            });
        }
    }
    trace.pulls.sort_by_key(|pull| pull.at);
    trace
}

/// What is popular changes: every day a thirtieth of the places in the order of popularity goes to the next version of
/// the image that held it.
pub(crate) fn drift(seed: u64, scale: Scale) -> Trace {
    let mut builder = Builder::new("drift", seed, scale.images / 40);
    let mut images = builder.catalogue(scale.images / 2);
    let popular = Zipf::new(images.len(), 0.9);
    for day in 0..scale.days {
        for _ in 0..images.len() / 30 {
            let place = builder.random.below(images.len());
            images[place] = builder.next_version(images[place]);
        }
        for _ in 0..scale.on(day) {
            let at = builder.working_hours(day);
            let image = images[popular.draw(&mut builder.random)];
            let times = builder.burst();
            builder.pull(at, image, times);
        }
    }
    builder.done()
}

pub(crate) fn all(seed: u64, scale: Scale) -> Vec<Trace> {
    vec![
        zipf(seed, scale),
        farm(seed, scale),
        scan(seed, scale),
        drift(seed, scale),
    ]
}
