//! Inputs that are nearly right.

/// Pieces that decoders trip over.
const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"0x7fffffff",
    b"9223372036854775808",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"\xef\xbb\xbf",
    "\u{e9}".as_bytes(),
    "\u{1F600}".as_bytes(),
    b"..",
    b"/",
    b"//",
    b"%",
    b"%zz",
    b"%00",
    b"=",
    b",",
    b"!",
    b"(",
    b")",
    b"*",
    b"{1000}",
    b"\n",
    b"\t",
    b" ",
    b"- ",
    b": ",
    b"&a *a",
    b"~1",
    b"$patch",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x0a\xff\xff\xff\x07",
];

/// The longest input that is made.
const LONGEST: usize = 64 << 10;

/// Changes inputs by chance; the same seed makes the same inputs (xorshift64*).
pub struct Mutator(u64);

impl Mutator {
    /// Starts with a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Mutator(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`; zero when that is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as usize;
        number % bound.max(1)
    }

    /// One of the seeds with a few changes, some of them from another seed.
    pub fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(seeds);
        for _ in 0..=self.below(5) {
            self.change(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    fn one_of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        seeds.get(self.below(seeds.len())).cloned().unwrap_or_default()
    }

    /// A range within a length.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = (length - start).min(if self.below(4) == 0 { length } else { 24 });
        start..start + self.below(longest + 1)
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = self.range(input.len());
        match self.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => drop(input.splice(place, [])),
            2 | 3 => drop(input.splice(place, TOKENS[self.below(TOKENS.len())].iter().copied())),
            4 => {
                let token = TOKENS[self.below(TOKENS.len())];
                drop(input.splice(place.start..place.start, token.iter().copied()));
            }
            5 => {
                let piece = input[place.clone()].to_vec().repeat(2 + self.below(30));
                drop(input.splice(place, piece));
            }
            6 => {
                let other = self.one_of(seeds);
                let piece = self.range(other.len());
                drop(input.splice(place, other[piece].iter().copied()));
            }
            _ => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte = self.below(256) as u8;
                }
            }
        }
    }
}
