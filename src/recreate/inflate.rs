//! Reads what is compressed. Anything that is not as the format says is refused; no more is held than matches reach.

use std::io::Read;

use super::input::Input;
use super::tokens::{
    DISTANCES, LENGTHS, LITERALS, LONGEST, WINDOW, distance_base, distance_extra, length_base,
    length_extra,
};
use super::{Failure, Refusal};

/// So much is made at a time.
const PIECE: usize = 64 * 1024;
/// So often the stream is read for a piece at the most: blocks may well be empty.
const READS: usize = 4;
/// Codes of so many bits are looked up at once.
const QUICK: u32 = 10;

/// A stream that is being inflated.
pub(super) struct Inflate<R> {
    pub(super) input: Input<R>,
    /// What matches reach of the pieces before, and the piece.
    output: Vec<u8>,
    piece: usize,
    state: State,
    is_last: bool,
    literals: Decoder,
    distances: Decoder,
}

enum State {
    /// A block begins.
    Start,
    /// So many bytes follow as they are.
    Stored(usize),
    Coded,
    End,
}

/// Codes as they are read.
#[derive(Default)]
struct Decoder {
    /// By the next bits: a symbol and the length of its code, which is 0 for those that are longer.
    quick: Vec<(u16, u8)>,
    /// By length: how many codes there are.
    counts: [u16; 16],
    /// In the order of their codes.
    symbols: Vec<u16>,
}

impl<R: Read> Inflate<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self {
            input,
            output: Vec::new(),
            piece: 0,
            state: State::Start,
            is_last: false,
            literals: Decoder::default(),
            distances: Decoder::default(),
        }
    }

    /// The piece that [`Self::next`] has made.
    pub(super) fn piece(&self) -> &[u8] {
        self.output.get(self.piece..).unwrap_or_default()
    }

    /// The stream after the compressed part.
    pub(super) fn into_input(mut self) -> Input<R> {
        self.input.align();
        self.input
    }

    /// Makes the next piece, which may be empty; says whether there was one.
    pub(super) fn next(&mut self) -> Result<bool, Failure> {
        let gone = self.output.len().saturating_sub(WINDOW);
        self.output.drain(..gone);
        self.piece = self.output.len();
        let full = self.piece.saturating_add(PIECE);
        self.input.start_counting();
        let is_over = matches!(self.state, State::End);
        while self.output.len() < full && self.input.reads() < READS {
            match self.state {
                State::Start => self.start()?,
                State::Stored(left) => self.stored(left, full)?,
                State::Coded => self.coded(full)?,
                State::End => break,
            }
        }
        Ok(!is_over)
    }

    fn start(&mut self) -> Result<(), Failure> {
        if self.is_last {
            self.state = State::End;
            return Ok(());
        }
        self.is_last = self.input.bits(1)? == 1;
        match self.input.bits(2)? {
            0 => {
                self.input.skip_to_byte()?;
                let length = self.input.bits(16)?;
                if length ^ 0xffff != self.input.bits(16)? {
                    return Err(Refusal::Damaged.into());
                }
                self.input.align();
                self.state = State::Stored(length as usize);
            }
            1 => {
                let lengths: [u8; 288] = std::array::from_fn(|symbol| match symbol {
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                });
                self.literals.set(&lengths)?;
                self.distances.set(&[5; 32])?;
                self.state = State::Coded;
            }
            2 => {
                self.codes()?;
                self.state = State::Coded;
            }
            _ => return Err(Refusal::Damaged.into()),
        }
        Ok(())
    }

    fn stored(&mut self, left: usize, full: usize) -> Result<(), Failure> {
        if left == 0 {
            self.state = State::Start;
            return Ok(());
        }
        let room = full.saturating_sub(self.output.len());
        let bytes = self.input.run(left.min(room))?;
        if bytes.is_empty() {
            return Err(Refusal::Truncated.into());
        }
        self.output.extend_from_slice(bytes);
        self.state = State::Stored(left.saturating_sub(bytes.len()));
        Ok(())
    }

    /// The codes of a block that tells them.
    fn codes(&mut self) -> Result<(), Failure> {
        const ORDER: [usize; 19] = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        let literals = (self.input.bits(5)? as usize).saturating_add(LENGTHS);
        let distances = (self.input.bits(5)? as usize).saturating_add(1);
        let told = (self.input.bits(4)? as usize).saturating_add(4);
        if literals > LITERALS || distances > DISTANCES {
            return Err(Refusal::Damaged.into());
        }
        let mut lengths = [0_u8; 19];
        for symbol in ORDER.iter().take(told) {
            let length = self.input.bits(3)? as u8;
            if let Some(slot) = lengths.get_mut(*symbol) {
                *slot = length;
            }
        }
        let mut decoder = Decoder::default();
        decoder.set(&lengths)?;
        let wanted = literals.saturating_add(distances);
        let mut lengths: Vec<u8> = Vec::with_capacity(wanted.saturating_add(138));
        while lengths.len() < wanted {
            self.input.refill()?;
            let (length, count) = match decoder.symbol(&mut self.input)? {
                16 => {
                    let last = lengths.last().copied().ok_or(Refusal::Damaged)?;
                    (last, self.input.take(2)?.saturating_add(3))
                }
                17 => (0, self.input.take(3)?.saturating_add(3)),
                18 => (0, self.input.take(7)?.saturating_add(11)),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, count as usize));
        }
        let (literal, distance) = lengths.split_at_checked(literals).ok_or(Refusal::Damaged)?;
        if distance.len() > distances {
            return Err(Refusal::Damaged.into());
        }
        self.literals.set(literal)?;
        self.distances.set(distance)
    }

    fn coded(&mut self, full: usize) -> Result<(), Failure> {
        while self.output.len() < full && self.input.reads() < READS {
            self.input.refill()?;
            let symbol = usize::from(self.literals.symbol(&mut self.input)?);
            match symbol {
                0..256 => self.output.push(symbol as u8),
                256 => {
                    self.state = State::Start;
                    return Ok(());
                }
                LENGTHS..LITERALS => {
                    let symbol = symbol.wrapping_sub(LENGTHS);
                    let more = self.input.take(length_extra(symbol))?;
                    let length = length_base(symbol).wrapping_add(more);
                    let symbol = usize::from(self.distances.symbol(&mut self.input)?);
                    if symbol >= DISTANCES {
                        return Err(Refusal::Damaged.into());
                    }
                    let more = self.input.take(distance_extra(symbol))?;
                    let distance = distance_base(symbol).wrapping_add(more);
                    self.repeat(length as usize, distance as usize)?;
                }
                _ => return Err(Refusal::Damaged.into()),
            }
        }
        Ok(())
    }

    #[inline]
    fn repeat(&mut self, length: usize, distance: usize) -> Result<(), Failure> {
        let start = self.output.len().checked_sub(distance);
        let start = start.ok_or(Refusal::Damaged)?;
        if distance >= length {
            self.output
                .extend_from_within(start..start.wrapping_add(length));
            return Ok(());
        }
        let mut buffer = [0_u8; LONGEST];
        let source = self.output.get(start..).unwrap_or_default();
        for (to, from) in buffer.iter_mut().zip(source.iter().cycle()).take(length) {
            *to = *from;
        }
        self.output
            .extend_from_slice(buffer.get(..length).unwrap_or_default());
        Ok(())
    }
}

impl Decoder {
    /// Takes over codes of these lengths. Not all codes need to have a meaning; one that has none is refused when it
    /// comes.
    fn set(&mut self, lengths: &[u8]) -> Result<(), Failure> {
        self.counts = [0; 16];
        for length in lengths.iter().filter(|length| **length > 0) {
            if let Some(count) = self.counts.get_mut(usize::from(*length)) {
                *count = count.saturating_add(1);
            }
        }
        let mut left = 1_i32;
        for count in self.counts.iter().skip(1) {
            left = left.saturating_mul(2).saturating_sub(i32::from(*count));
            if left < 0 {
                return Err(Refusal::Damaged.into());
            }
        }
        self.quick.clear();
        self.quick.resize(1 << QUICK, (0, 0));
        self.symbols.clear();
        let mut code = 0_u32;
        for length in 1..=15_u8 {
            let of_length = lengths.iter().enumerate().filter(|(_, of)| **of == length);
            for (symbol, _) in of_length {
                self.symbols.push(symbol as u16);
                let bits = u32::from(length);
                if bits <= QUICK {
                    let first = code
                        .wrapping_shl(32_u32.saturating_sub(bits))
                        .reverse_bits();
                    let step = 1_usize.wrapping_shl(bits);
                    let slots = self.quick.iter_mut().skip(first as usize).step_by(step);
                    slots.for_each(|slot| *slot = (symbol as u16, length));
                }
                code = code.saturating_add(1);
            }
            code = code.saturating_mul(2);
        }
        Ok(())
    }

    /// The symbol whose code comes next.
    #[inline]
    fn symbol<R: Read>(&self, input: &mut Input<R>) -> Result<u16, Failure> {
        let bits = input.peek();
        let quick = self.quick.get((bits & ((1 << QUICK) - 1)) as usize);
        let (symbol, length) = quick.copied().unwrap_or_default();
        if length > 0 {
            input.skip(u32::from(length))?;
            return Ok(symbol);
        }
        self.long_symbol(bits, input)
    }

    #[cold]
    fn long_symbol<R: Read>(&self, bits: u32, input: &mut Input<R>) -> Result<u16, Failure> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for (length, count) in self.counts.iter().enumerate().skip(1) {
            let count = u32::from(*count);
            let bit = bits.wrapping_shr(length.saturating_sub(1) as u32) & 1;
            code |= bit;
            let within = code.saturating_sub(first);
            if code >= first && within < count {
                input.skip(length as u32)?;
                let at = index.saturating_add(within) as usize;
                return self.symbols.get(at).copied().ok_or(Refusal::Damaged.into());
            }
            index = index.saturating_add(count);
            first = first.saturating_add(count).saturating_mul(2);
            code = code.saturating_mul(2);
        }
        // Not enough bits are no code either.
        input.skip(15)?;
        Err(Refusal::Damaged.into())
    }
}
