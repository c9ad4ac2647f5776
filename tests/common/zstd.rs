//! Zstandard frames made by hand (RFC 8878): raw and run-length blocks only.
//!
//! Images by `qemu-img convert -c -o compression_type=zstd` bring the entropy-coded ones.

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const MAX_BLOCK: usize = 128 << 10;

enum Block {
    Raw(Vec<u8>),
    Run(u8, usize),
}

/// A frame, block by block.
#[derive(Default)]
pub struct Frame {
    blocks: Vec<Block>,
    content: Vec<u8>,
    checksum: bool,
    content_size: bool,
}

impl Frame {
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame of `bytes` in raw blocks.
    pub fn of(bytes: &[u8]) -> Self {
        bytes.chunks(MAX_BLOCK).fold(Self::new(), Self::raw)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.content.extend_from_slice(bytes);
        self.blocks.push(Block::Raw(bytes.to_vec()));
        self
    }

    pub fn run(mut self, byte: u8, mut count: usize) -> Self {
        self.content.resize(self.content.len() + count, byte);
        while count > 0 {
            let block = count.min(MAX_BLOCK);
            self.blocks.push(Block::Run(byte, block));
            count -= block;
        }
        self
    }

    /// Ends with the checksum of the content.
    pub fn with_checksum(mut self) -> Self {
        self.checksum = true;
        self
    }

    /// Says in its header how much it holds.
    pub fn with_content_size(mut self) -> Self {
        self.content_size = true;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        let checksum_flag = u8::from(self.checksum) << 2;
        if self.content_size {
            // Eight bytes of size, not a single segment: the window follows the descriptor.
            bytes.push(0b1100_0000 | checksum_flag);
            bytes.push(WINDOW_2_MIB);
            bytes.extend_from_slice(&(self.content.len() as u64).to_le_bytes());
        } else {
            bytes.push(checksum_flag);
            bytes.push(WINDOW_2_MIB);
        }
        for (at, block) in self.blocks.iter().enumerate() {
            let last = u32::from(at + 1 == self.blocks.len());
            let (kind, size, content) = match block {
                Block::Raw(bytes) => (0, bytes.len(), &bytes[..]),
                Block::Run(byte, count) => (1, *count, std::slice::from_ref(byte)),
            };
            let header = last | kind << 1 | u32::try_from(size).expect("a block is small") << 3;
            bytes.extend_from_slice(&header.to_le_bytes()[..3]);
            bytes.extend_from_slice(content);
        }
        if self.checksum {
            bytes.extend_from_slice(&xxh64(&self.content).to_le_bytes()[..4]);
        }
        bytes
    }
}

/// Exponent 11, mantissa 0: 2^(10 + 11) bytes, the largest cluster.
const WINDOW_2_MIB: u8 = 11 << 3;

/// A frame that decoders pass over.
pub fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("small");
    [&(SKIPPABLE_MAGIC + 7).to_le_bytes()[..], &length.to_le_bytes(), content].concat()
}

const PRIMES: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

/// XXH64 with seed 0: a frame's checksum is its low 32 bits.
fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let mut stripes = bytes.chunks_exact(32);
    let mut hash = if bytes.len() < 32 {
        p5
    } else {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0u64.wrapping_sub(p1)];
        for stripe in &mut stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, little_endian(word));
            }
        }
        let mixed =
            lanes.iter().zip([1, 7, 12, 18]).fold(0u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
        lanes.iter().fold(mixed, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(p1).wrapping_add(p4))
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let rest = if bytes.len() < 32 { bytes } else { stripes.remainder() };
    let mut words = rest.chunks_exact(8);
    for word in &mut words {
        hash ^= round(0, little_endian(word));
        hash = hash.rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    let mut halves = words.remainder().chunks_exact(4);
    for half in &mut halves {
        hash ^= little_endian(half).wrapping_mul(p1);
        hash = hash.rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
    }
    for byte in halves.remainder() {
        hash ^= u64::from(*byte).wrapping_mul(p5);
        hash = hash.rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    let [p1, p2, ..] = PRIMES;
    lane.wrapping_add(word.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
