//! Compressed clusters of every shape: those that QEMU writes, those that it only reads, and those that nobody should.

use qcow2_web::{Codecs, Corrupt, DecompressError, Image, Unsupported};

use crate::common::builder::{Builder, Built, Cluster, compressed_entry};
use crate::common::deflate::{Stream, compressed, stored, zlib_wrapped};
use crate::common::disk::Disk;
use crate::common::random::Random;
use crate::common::reading::{alone, now, range};
use crate::common::zstd::{Frame, skippable};
use crate::common::{KIB, MIB, index};
use crate::hostile::verdict::{both_read_as, both_refuse, problem_of};

const CLUSTER: usize = 64 << 10;

fn text() -> Vec<u8> {
    Random::seeded(7).text(CLUSTER)
}

fn plan() -> Builder {
    Builder::new(CLUSTER as u64, 256 * KIB).with_data(0, 0x11)
}

/// An image whose guest cluster 1 is that stream, and should read as `unpacked`.
fn of_stream(plan: Builder, stream: Vec<u8>, unpacked: Vec<u8>) -> Built {
    plan.with(1, Cluster::Compressed { stream, unpacked }).build()
}

#[track_caller]
fn deflate_reads(stream: Vec<u8>, unpacked: Vec<u8>) {
    let image = of_stream(plan(), stream, unpacked);
    both_read_as(&image, &image.contents(&[]));
}

#[track_caller]
fn deflate_is_refused(stream: Vec<u8>, error: DecompressError) {
    let image = of_stream(plan(), stream, vec![0; CLUSTER]);
    let offset = image.hosts[&1];
    both_refuse(&image, Corrupt::Compressed { offset, error });
}

#[test]
fn deflate_windows_of_4_and_of_32_kib() {
    deflate_reads(compressed(&text(), 4096), text());
    deflate_reads(compressed(&text(), 32 << 10), text());
}

#[test]
fn deflate_copy_from_as_far_as_can_be() {
    // A copy over 32 KiB, which the window of a writer of 4 KiB would never have.
    let head = Random::seeded(1).noise(32 << 10);
    let stream = Stream::new().literals(&head).copy(257, 32 << 10);
    let mut unpacked = [&head[..], &head[..257]].concat();
    let rest = vec![0x5a; CLUSTER - unpacked.len()];
    unpacked.extend(&rest);
    deflate_reads(stream.literals(&rest).end(), unpacked);
}

#[test]
fn deflate_copy_from_before_the_beginning() {
    let stream = Stream::new().literals(b"abc").copy(10, 4);
    let rest = vec![0; CLUSTER - 13];
    deflate_is_refused(stream.literals(&rest).end(), DecompressError::Invalid);
}

#[test]
fn deflate_longer_than_the_cluster() {
    // The rest is not looked at.
    let long = [text(), vec![1; 5000]].concat();
    deflate_reads(compressed(&long, 4096), text());
}

#[test]
fn deflate_without_an_end() {
    // Everything is there but the end marker.
    deflate_reads(Stream::new().literals(&text()).broken_off(), text());
}

#[test]
fn deflate_with_something_behind_it() {
    let mut stream = compressed(&text(), 4096);
    stream.extend([0xff; 100]);
    deflate_reads(stream, text());
}

#[test]
fn deflate_that_is_larger_than_the_cluster() {
    let noise = Random::seeded(2).noise(CLUSTER);
    deflate_reads(stored(&noise), noise);
}

#[test]
fn deflate_too_short() {
    deflate_is_refused(compressed(&text()[..CLUSTER - 1], 4096), DecompressError::Short);
    deflate_is_refused(compressed(&[], 4096), DecompressError::Short);
}

#[test]
fn deflate_in_a_zlib_wrapping() {
    deflate_is_refused(zlib_wrapped(&text()), DecompressError::Invalid);
}

#[test]
fn deflate_that_is_nothing_of_the_kind() {
    // Block type 3 is reserved.
    deflate_is_refused(vec![0b111; 600], DecompressError::Invalid);
}

#[test]
fn deflate_over_every_sector_boundary() {
    // Streams of odd lengths one behind the other: most begin within a sector, many cross clusters.
    for cluster_bits in [12, 14, 16] {
        let cluster = 1usize << cluster_bits;
        let mut plan = Builder::new(cluster as u64, 64 * cluster as u64);
        let mut random = Random::seeded(cluster_bits);
        for guest in 0..63 {
            let unpacked = random.text(cluster);
            plan = plan.with(guest, Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked });
        }
        both_read_as(&plan.build(), &plan.contents(&[]));
    }
}

#[test]
fn clusters_of_all_sizes() {
    for cluster_bits in 9..=21 {
        let cluster = 1usize << cluster_bits;
        let mut plan = Builder::new(cluster as u64, 4 * cluster as u64);
        let mut random = Random::seeded(cluster_bits);
        for guest in 0..3 {
            let unpacked = random.text(cluster);
            plan = plan.with(guest, Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked });
        }
        both_read_as(&plan.build(), &plan.contents(&[]));
    }
}

/// The sound image, with `change` made to the sectors that its descriptor counts.
fn with_sectors(change: i64) -> Built {
    let noise = Random::seeded(3).noise(2000);
    let unpacked = [noise, vec![0; CLUSTER - 2000]].concat();
    let image = of_stream(plan(), compressed(&unpacked, 4096), unpacked);
    let at = image.l2_entry(1);
    let sectors = image.u64_at(at) >> 54 & 0xff;
    let sectors = sectors.checked_add_signed(change).unwrap();
    let entry = compressed_entry(16, image.hosts[&1], sectors);
    image.set_u64(at, entry)
}

#[test]
fn more_sectors_than_the_stream_needs() {
    for more in [1, 100] {
        let image = with_sectors(more);
        both_read_as(&image, &image.contents(&[]));
    }
}

#[test]
fn fewer_sectors_than_the_stream_needs() {
    let image = with_sectors(-1);
    let offset = image.hosts[&1];
    both_refuse(&image, Corrupt::Compressed { offset, error: DecompressError::Short });
}

#[test]
fn the_last_stream_ends_with_the_file() {
    // Its span reaches past the end.
    let unpacked = text();
    let stream = compressed(&unpacked, 4096);
    let image = plan().with_data(1, 0).build();
    let offset = image.bytes.len() as u64 + 100;
    let sectors = (offset % 512 + stream.len() as u64).div_ceil(512) - 1;
    let entry = image.l2_entry(1);
    let mut image = image.set_u64(entry, compressed_entry(16, offset, sectors));
    image.bytes.extend([0; 100]);
    image.bytes.extend(&stream);
    let mut contents = image.contents(&[]);
    contents[CLUSTER..2 * CLUSTER].copy_from_slice(&unpacked);
    both_read_as(&image, &contents);
}

#[test]
fn two_guest_clusters_share_a_stream() {
    let image = of_stream(plan(), compressed(&text(), 4096), text());
    let word = image.u64_at(image.l2_entry(1));
    let image = image.clone().set_u64(image.l2_entry(2), word);
    let mut contents = image.contents(&[]);
    contents.copy_within(CLUSTER..2 * CLUSTER, 2 * CLUSTER);
    both_read_as(&image, &contents);
}

#[track_caller]
fn zstd_reads(stream: Vec<u8>, unpacked: Vec<u8>) {
    let image = of_stream(plan().zstd(), stream, unpacked);
    both_read_as(&image, &image.contents(&[]));
}

#[track_caller]
fn zstd_is_refused(stream: Vec<u8>, error: DecompressError) {
    let image = of_stream(plan().zstd(), stream, vec![0; CLUSTER]);
    let offset = image.hosts[&1];
    both_refuse(&image, Corrupt::Compressed { offset, error });
}

fn half() -> (Vec<u8>, Vec<u8>) {
    let text = Random::seeded(8).text(1000);
    let unpacked = [text, vec![b'r'; CLUSTER - 1000]].concat();
    let frame = Frame::new().raw(&unpacked[..1000]).run(b'r', CLUSTER - 1000);
    (frame.bytes(), unpacked)
}

#[test]
fn zstd_frame() {
    let (stream, unpacked) = half();
    zstd_reads(stream, unpacked);
}

#[test]
fn zstd_frame_with_its_content_size_and_checksum() {
    let unpacked = text()[..20_000].iter().copied().chain(std::iter::repeat_n(0, CLUSTER - 20_000)).collect::<Vec<_>>();
    let frame = || Frame::new().raw(&unpacked[..20_000]).run(0, CLUSTER - 20_000);
    zstd_reads(frame().with_checksum().bytes(), unpacked.clone());
    zstd_reads(frame().with_content_size().bytes(), unpacked.clone());
    zstd_reads(frame().with_content_size().with_checksum().bytes(), unpacked.clone());
}

#[test]
fn zstd_frames_one_behind_the_other() {
    let (_, unpacked) = half();
    let first = Frame::new().raw(&unpacked[..1000]).with_checksum().bytes();
    let second = Frame::new().run(b'r', CLUSTER - 1000).bytes();
    zstd_reads([&first[..], &second].concat(), unpacked.clone());
    // A frame of nothing between them.
    let nothing = Frame::new().raw(&[]).bytes();
    zstd_reads([&first[..], &nothing, &second].concat(), unpacked);
}

#[test]
fn zstd_skippable_frames() {
    let (stream, unpacked) = half();
    zstd_reads([&skippable(b"before")[..], &stream].concat(), unpacked.clone());
    zstd_reads([&skippable(&[]), &skippable(&[7; 1000])[..], &stream].concat(), unpacked.clone());
    zstd_reads([&stream[..], &skippable(b"behind")].concat(), unpacked);
}

#[test]
fn zstd_with_something_behind_it() {
    let (mut stream, unpacked) = half();
    stream.extend([0xff; 100]);
    zstd_reads(stream, unpacked);
}

#[test]
fn zstd_that_is_larger_than_the_cluster() {
    let noise = Random::seeded(4).noise(CLUSTER);
    zstd_reads(Frame::of(&noise).bytes(), noise);
}

#[test]
fn zstd_too_short() {
    let (_, unpacked) = half();
    zstd_is_refused(Frame::new().raw(&unpacked[..1000]).bytes(), DecompressError::Short);
    zstd_is_refused(skippable(b"nothing else"), DecompressError::Short);
}

#[test]
fn zstd_too_long() {
    let frame = Frame::new().run(1, CLUSTER).raw(b"x");
    zstd_is_refused(frame.bytes(), DecompressError::Long);
    zstd_is_refused(frame.with_content_size().bytes(), DecompressError::Long);
}

#[test]
fn zstd_that_unpacks_to_very_much() {
    // 256 MiB of one byte from a few thousand; the window that it asks for is small.
    let bomb = Frame::new().run(1, 256 << 20).bytes();
    assert!(bomb.len() < CLUSTER);
    zstd_is_refused(bomb, DecompressError::Long);
}

#[test]
fn zstd_that_breaks_off() {
    let (stream, _) = half();
    let image = of_stream(plan().zstd(), stream[..stream.len() - 2].to_vec(), vec![0; CLUSTER]);
    // What follows in the file is zeros: a block that is not the last, and so on to the end of the span.
    let offset = image.hosts[&1];
    both_refuse(&image, Corrupt::Compressed { offset, error: DecompressError::Short });
}

#[test]
fn zstd_with_a_wrong_checksum() {
    let unpacked = text();
    let mut stream = Frame::of(&unpacked).with_checksum().bytes();
    *stream.last_mut().unwrap() ^= 1;
    zstd_is_refused(stream, DecompressError::Invalid);
}

#[test]
fn zstd_that_is_deflate_and_deflate_that_is_zstd() {
    zstd_is_refused(compressed(&text(), 4096), DecompressError::Invalid);
    deflate_is_refused(half().0, DecompressError::Invalid);
}

#[test]
fn zstd_with_a_window_of_gigabytes() {
    // The descriptor asks for a window of 2^41 bytes; the memory must not be claimed.
    let (mut stream, _) = half();
    stream[5] = 31 << 3;
    zstd_is_refused(stream, DecompressError::Invalid);
}

#[test]
fn zstd_with_a_dictionary() {
    let (stream, _) = half();
    // Dictionary id 5, which nobody has.
    let with_dictionary = [&stream[..4], &[1, stream[5], 5], &stream[6..]].concat();
    zstd_is_refused(with_dictionary, DecompressError::Invalid);
}

#[test]
fn the_largest_clusters() {
    let cluster = index(2 * MIB);
    let unpacked = Random::seeded(5).text(cluster);
    let zstd = Builder::new(2 * MIB, 4 * MIB).zstd();
    let image = of_stream(zstd, Frame::of(&unpacked).bytes(), unpacked.clone());
    both_read_as(&image, &image.contents(&[]));
    let image = of_stream(Builder::new(2 * MIB, 4 * MIB), compressed(&unpacked, 32 << 10), unpacked);
    both_read_as(&image, &image.contents(&[]));
}

#[test]
fn a_build_without_the_codec_reads_all_the_rest() {
    for (plan, stream, name) in [(plan(), compressed(&text(), 4096), "zlib"), (plan().zstd(), half().0, "zstd")] {
        let image = of_stream(plan, stream, text());
        let options = alone().codecs(Codecs::NONE);
        let opened = now(Image::open(Disk::of(image.bytes), options)).unwrap();
        let first = now(range(&opened, 0, CLUSTER as u64)).unwrap();
        assert_eq!(first, vec![0x11; CLUSTER]);
        let error = now(range(&opened, CLUSTER as u64 + 10, 100)).unwrap_err();
        assert_eq!(problem_of(&error), Unsupported::NoCodec { name }.into());
    }
}
