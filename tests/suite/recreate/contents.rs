//! Contents made from a kind, a size and a seed, the same as golden.go makes.

/// One of `golden.txt`.
pub(super) fn content(kind: &str, size: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
    let mut out = Vec::new();
    match kind {
        "zeros" => out = vec![0; size],
        "random" => out.extend((0..size).map(|_| random.byte())),
        "skewed" => out.extend((0..size).map(|_| random.skewed())),
        "period" => {
            for at in 0..size {
                let repeated = at.checked_sub(seed as usize).map(|before| out[before]);
                out.push(repeated.unwrap_or_else(|| random.byte()));
            }
        }
        "text" => {
            let words = random.words();
            random.text(&mut out, &words, size);
        }
        "tar" => random.tar(&mut out, size),
        "mixed" => random.mixed(&mut out, size),
        _ => panic!("{kind} is no kind of content"),
    }
    out.truncate(size);
    out
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 33) % limit as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 40) as u8
    }

    fn skewed(&mut self) -> u8 {
        (self.below(8) * self.below(8)) as u8
    }

    fn words(&mut self) -> Vec<String> {
        let mut word = || {
            let length = 2 + self.below(8);
            let letters = (0..length).map(|_| char::from(b'a' + self.below(26) as u8));
            letters.collect()
        };
        (0..1000).map(|_| word()).collect()
    }

    fn word<'a>(&mut self, words: &'a [String]) -> &'a str {
        let among = if self.below(2) == 0 { 60 } else { words.len() };
        &words[self.below(among)]
    }

    fn text(&mut self, out: &mut Vec<u8>, words: &[String], size: usize) {
        let end = out.len() + size;
        while out.len() < end {
            out.extend(self.word(words).as_bytes());
            out.push(if self.below(12) == 0 { b'\n' } else { b' ' });
        }
    }

    fn tar(&mut self, out: &mut Vec<u8>, size: usize) {
        let words = self.words();
        while out.len() < size {
            let mut header = [0; 512];
            let length = self.below(6000);
            let directory = self.word(&words);
            let name = format!("usr/lib/{directory}/{}.py", self.word(&words));
            let time = 1_700_000_000 + self.below(100);
            let numbers = format!("0000644\x000000000\x000000000\x00{length:011o}\x00{time:011o}");
            let texts = [
                (0, name.as_str()),
                (100, numbers.as_str()),
                (257, "ustar\x0000root"),
            ];
            for (at, text) in texts {
                header[at..at + text.len()].copy_from_slice(text.as_bytes());
            }
            out.extend(header);
            self.text(out, &words, length);
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }

    fn mixed(&mut self, out: &mut Vec<u8>, size: usize) {
        let words = self.words();
        while out.len() < size {
            match self.below(6) {
                0 => {
                    for _ in 0..self.below(600) {
                        out.push(self.byte());
                    }
                }
                1 => {
                    let one = self.below(4) as u8;
                    out.resize(out.len() + self.below(2000), one);
                }
                2 | 3 if out.is_empty() => {}
                2 | 3 => {
                    let distance = 1 + self.below(out.len().min(40000));
                    for _ in 0..3 + self.below(400) {
                        let repeated = out[out.len() - distance];
                        let changed = u8::from(self.below(50) == 0);
                        out.push(repeated ^ changed);
                    }
                }
                4 => {
                    let size = self.below(1500);
                    self.text(out, &words, size);
                }
                _ => {
                    for _ in 0..self.below(700) {
                        out.push(self.skewed());
                    }
                }
            }
        }
    }
}
