//! Compressed clusters: streams that the input holds, and the input itself, compressed.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use qcow2_web::{Codecs, CompressionType, Image, OpenOptions};

use crate::check::check_error;
use crate::input::Input;
use crate::limits::{ready, within_memory};
use crate::storage::{Bytes, Counted, Sparse};

const MEMORY: usize = 64 << 20;

/// Reads one compressed cluster in several ways, which must agree.
pub fn streams(input: &[u8]) {
    let mut input = Input::new(input);
    let bits = u32::from(input.u8());
    let (zstd, mode) = (input.flag(), input.u8() % 4);
    // Mostly small ones, which are fast; what is compressed here first is always small.
    let cluster_bits = match (bits, mode) {
        (0xff, 0) => 21,
        (0xf0.., 0) => 12 + bits % 5,
        _ => 9 + bits % 4,
    };
    let cluster_size = 1_usize << cluster_bits;
    let shift = input.u16() % 1024;
    let slack = input.u8() % 3;
    let [first, second] = [input.u32(), input.u32()].map(|number| number as usize % cluster_size);
    let rest = input.rest();
    let mut plain = None;
    let stream = if mode == 0 {
        rest.to_vec()
    } else {
        let cluster = repeated(rest, cluster_size);
        let packed = if zstd { pack_zstd(&cluster, mode) } else { compress_to_vec(&cluster, mode * 2) };
        plain = Some(cluster);
        packed
    };
    let case = Case { cluster_bits, zstd, shift, slack, stream };
    if !case.fits() {
        return;
    }
    within_memory(MEMORY, || {
        let whole = case.read(0, cluster_size);
        assert!(plain.is_none() || whole == plain, "what was compressed is not what is read");
        let part = case.read(first.min(second), first.abs_diff(second) + 1);
        match (&whole, part) {
            (Some(whole), Some(part)) => {
                assert!(whole[first.min(second)..=first.max(second)] == part, "a part differs")
            }
            (None, None) => {}
            (whole, part) => panic!("whole: {}, a part: {}", whole.is_some(), part.is_some()),
        }
        case.check_against_codec(whole.as_deref());
    });
}

/// `bytes` again and again, a little different every time.
fn repeated(bytes: &[u8], length: usize) -> Vec<u8> {
    let period = bytes.len().max(1);
    (0..length).map(|at| bytes.get(at % period).map_or(0, |byte| byte.wrapping_add((at / period / 7) as u8))).collect()
}

/// One frame, two frames, or two frames after one to be skipped.
fn pack_zstd(cluster: &[u8], mode: u8) -> Vec<u8> {
    let (head, tail) = cluster.split_at(if mode == 1 { cluster.len() } else { cluster.len() / 3 });
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let mut stream = if mode == 3 { skipped.to_vec() } else { Vec::new() };
    for part in [head, tail] {
        if !part.is_empty() {
            stream.extend(zrip::compress(part, 1).expect("there is memory"));
        }
    }
    stream
}

/// The tables, and the stream behind them.
struct File {
    head: Sparse,
    stream: Vec<u8>,
}

impl Bytes for File {
    fn size(&self) -> u64 {
        self.head.size + self.stream.len() as u64
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        let head = usize::try_from(self.head.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let (head, rest) = buf.split_at_mut(head);
        self.head.fill(offset, head);
        self.stream.fill(offset.saturating_sub(self.head.size), rest);
    }
}

struct Case {
    cluster_bits: u32,
    zstd: bool,
    /// Where the stream begins, behind the tables.
    shift: u64,
    /// How many sectors more than needed the entry counts.
    slack: u8,
    stream: Vec<u8>,
}

impl Case {
    fn start(&self) -> u64 {
        (4 << self.cluster_bits) + self.shift
    }

    fn additional_sectors(&self) -> u64 {
        let end = self.start() + (self.stream.len() as u64).max(1);
        end.div_ceil(512) - self.start() / 512 - 1 + u64::from(self.slack)
    }

    /// Whether the entry can count the sectors of the stream.
    fn fits(&self) -> bool {
        self.additional_sectors() < 1 << (self.cluster_bits - 8)
    }

    fn file(&self) -> File {
        let cluster_size = 1_u64 << self.cluster_bits;
        let header = [
            0x5146_49fb << 32 | 3,
            0,
            u64::from(self.cluster_bits),
            cluster_size,
            1,
            cluster_size,
            3 << self.cluster_bits,
            1 << 32,
            0,
            u64::from(self.zstd) << 3,
            0,
            0,
            4 << 32 | 112,
            u64::from(self.zstd) << 56,
        ];
        let entry = 1 << 62 | self.additional_sectors() << (70 - self.cluster_bits) | self.start();
        let tables = [(cluster_size, 2 * cluster_size), (2 * cluster_size, entry)];
        let words = (0..).step_by(8).zip(header).chain(tables).collect();
        let head = Sparse { size: self.start(), words, noise: false };
        File { head, stream: self.stream.clone() }
    }

    fn read(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        let file = Counted::new(self.file());
        let image = ready(Image::open(&file, OpenOptions::new())).expect("the tables are sound");
        let mut buf = vec![0xaa; length];
        match ready(image.read_at(offset as u64, &mut buf)) {
            Ok(()) => Some(buf),
            Err(error) => {
                check_error(&error);
                assert_eq!(
                    (error.code(), error.offset()),
                    ("CORRUPT_COMPRESSED_CLUSTER", Some(self.start())),
                    "{error}"
                );
                None
            }
        }
    }

    /// The engine must have read what its codec, and another deflate, make of the span.
    fn check_against_codec(&self, whole: Option<&[u8]>) {
        let length = (self.additional_sectors() + 1) * 512 - self.start() % 512;
        let mut span = vec![0; length as usize];
        self.file().fill(self.start(), &mut span);
        let mut cluster = vec![0; 1 << self.cluster_bits];
        let kind = if self.zstd { CompressionType::Zstd } else { CompressionType::Zlib };
        let make = Codecs::default().get(kind).decompressor;
        let mut codec = make.expect("both codecs are built")();
        // A codec is used again after whatever happened.
        for _ in 0..2 {
            let good = codec.decompress(&span, &mut cluster).is_ok();
            assert_eq!(good.then_some(&*cluster), whole);
        }
        if !self.zstd && inflate_otherwise(&span, &mut cluster) {
            assert!(whole.is_none_or(|whole| whole == cluster), "miniz_oxide reads something else");
        }
    }
}

fn inflate_otherwise(stream: &[u8], cluster: &mut [u8]) -> bool {
    let mut state = Box::<DecompressorOxide>::default();
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = decompress(&mut state, stream, cluster, 0, flags);
    matches!(status, TINFLStatus::Done | TINFLStatus::HasMoreOutput) && written == cluster.len()
}
