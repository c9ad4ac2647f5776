//! Deflate streams made by hand (RFC 1951), so that tests decide on every bit of them.
//!
//! Only stored blocks and the fixed code; images by `qemu-img convert -c` bring the dynamic ones.

/// Length codes 257 to 285: the smallest length, and how many bits are added.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The longest copy that is made; code 285 is left out because 284 could say the same.
const MAX_COPY: usize = 257;

/// A stream of one block in the fixed code.
pub struct Stream {
    bytes: Vec<u8>,
    bits: u32,
    count: u32,
}

impl Stream {
    pub fn new() -> Self {
        let mut stream = Self { bytes: Vec::new(), bits: 0, count: 0 };
        stream.put(0b011, 3); // The last block, fixed code.
        stream
    }

    pub fn literals(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.symbol(u16::from(*byte));
        }
        self
    }

    /// Repeats `length` bytes from `distance` bytes back.
    pub fn copy(mut self, length: usize, distance: usize) -> Self {
        let length = u16::try_from(length).expect("at most 258");
        let code = LENGTHS.iter().rposition(|(least, _)| *least <= length).expect("at least 3");
        let (least, extra) = LENGTHS[code];
        self.symbol(257 + u16::try_from(code).expect("29 codes"));
        self.put(u32::from(length - least), u32::from(extra));
        let (code, least, extra) = distance_code(distance);
        self.put(reversed(code, 5), 5);
        self.put(u32::try_from(distance - least).expect("small"), extra);
        self
    }

    pub fn end(mut self) -> Vec<u8> {
        self.symbol(256);
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes
    }

    /// The stream without its end: what was put so far, in whole bytes.
    pub fn broken_off(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes
    }

    fn symbol(&mut self, symbol: u16) {
        let symbol = u32::from(symbol);
        let (code, length) = match symbol {
            0..=143 => (0x30 + symbol, 8),
            144..=255 => (0x190 + symbol - 144, 9),
            256..=279 => (symbol - 256, 7),
            _ => (0xc0 + symbol - 280, 8),
        };
        self.put(reversed(code, length), length);
    }

    fn put(&mut self, value: u32, count: u32) {
        self.bits |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.bits.to_le_bytes()[0]);
            self.bits >>= 8;
            self.count -= 8;
        }
    }
}

/// `bytes` in stored blocks: longer than what it holds, and always possible.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("at most 0xffff");
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream
}

/// `bytes` with repetitions up to `window` bytes back replaced by copies.
pub fn compressed(bytes: &[u8], window: usize) -> Vec<u8> {
    const HASH_BYTES: usize = 4;
    let mut stream = Stream::new();
    let mut seen = std::collections::HashMap::new();
    let mut at = 0;
    while at < bytes.len() {
        let key = bytes.get(at..at + HASH_BYTES);
        let candidate = key.and_then(|key| seen.insert(key, at)).filter(|from| at - from <= window);
        let length = candidate.map_or(0, |from| common_prefix(&bytes[from..], &bytes[at..]));
        match candidate {
            Some(from) if length >= HASH_BYTES => {
                stream = stream.copy(length, at - from);
                at += length;
            }
            _ => {
                stream = stream.literals(&bytes[at..=at]);
                at += 1;
            }
        }
    }
    stream.end()
}

/// The zlib wrapping (RFC 1950) of a raw stream of `bytes`.
pub fn zlib_wrapped(bytes: &[u8]) -> Vec<u8> {
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    [&[0x78, 0x9c][..], &compressed(bytes, 4096), &(high << 16 | low).to_be_bytes()].concat()
}

fn common_prefix(earlier: &[u8], later: &[u8]) -> usize {
    earlier.iter().zip(later).take(MAX_COPY).take_while(|(a, b)| a == b).count()
}

/// The distance's code, the smallest distance of that code, and its extra bits.
fn distance_code(distance: usize) -> (u32, usize, u32) {
    (0..30)
        .map(|code: u32| {
            let extra = (code / 2).saturating_sub(1);
            let least = if code < 2 { code + 1 } else { ((2 + code % 2) << extra) + 1 };
            (code, least as usize, extra)
        })
        .take_while(|(_, least, _)| *least <= distance)
        .last()
        .expect("at least 1")
}

/// Codes are written from their most significant bit, everything else from the least.
fn reversed(code: u32, length: u32) -> u32 {
    code.reverse_bits() >> (32 - length)
}
