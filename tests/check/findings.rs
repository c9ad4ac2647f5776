//! Our findings against `qemu-img check`'s, on images that are damaged field by field.
//!
//! `CHECK_IMAGES` is how many images there are, `CHECK_SEED` begins at another one.

use std::collections::BTreeMap;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, CheckReport, Error, Finding, check};

use super::anatomy::{What, fields};
use super::bases::{self, Base};
use super::damage::{Damaged, all_fields};
use super::oracle::{Numbers, Said, ask};
use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{has_hexadecimal_offsets, now};

const IMAGES: u64 = 400;
const IMAGE: &str = "damaged.qcow2";

type Result<T> = std::result::Result<T, Error<qcow2_web::storage::PastEnd>>;

pub fn check_bytes(bytes: Vec<u8>) -> Result<CheckReport> {
    now(check(&MemoryStorage::from(bytes), CheckOptions::new().max_findings(usize::MAX)))
}

pub fn numbers(report: &CheckReport) -> Numbers {
    Numbers {
        check_errors: report.check_errors,
        corruptions: report.corruptions,
        leaks: report.leaks,
        total: report.total_clusters,
        allocated: report.allocated_clusters,
        fragmented: report.fragmented_clusters,
        compressed: report.compressed_clusters,
        image_end: report.image_end_offset,
    }
}

pub fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().expect("a number"))
}

#[test]
fn sound_images_of_every_kind() {
    let lab = Lab::new();
    for Base { name, bytes } in bases::all(&lab) {
        lab.put(IMAGE, &bytes);
        let qemu = ask(lab.folder(), IMAGE, &[]);
        let report = check_bytes(bytes).unwrap();
        assert_eq!(Some(numbers(&report)), qemu.numbers, "{name}: {:?} {}", report.findings, qemu.complaint);
        assert_eq!(i32::from(report.verdict().exit_code()), qemu.exit_code, "{name}");
    }
}

#[test]
fn damaged_images() {
    let lab = Lab::new();
    let bases = bases::all(&lab);
    let fields = all_fields(&bases);
    let (first, count) = (number_from_environment("CHECK_SEED", 0), number_from_environment("CHECK_IMAGES", IMAGES));
    let (mut differing, mut reasons) = (0, BTreeMap::new());
    for seed in first..first + count {
        let damaged = Damaged::any(&bases, &fields, &mut Random::seeded(seed));
        let bytes = damaged.bytes(&bases);
        lab.put(IMAGE, &bytes);
        let qemu = ask(lab.folder(), IMAGE, &[]);
        let ours = check_bytes(bytes);
        match compare(&ours, &qemu) {
            Ok(None) => {}
            Ok(Some(reason)) => *reasons.entry(format!("{reason:?}")).or_insert(0) += 1,
            Err(difference) => {
                differing += 1;
                println!("CHECK_SEED={seed} {}\n  {difference}", damaged.describe(&bases));
            }
        }
    }
    println!("{count} images; different for a reason: {reasons:?}");
    assert_eq!(differing, 0, "of {count}");
}

/// A count that is wrong makes the COPIED flags wrong that go by it: both count, as by QEMU.
#[test]
fn counts_and_the_flags_that_go_by_them() {
    let lab = Lab::new();
    for base in bases::all(&lab) {
        let counts: Vec<_> = fields(&base.bytes).into_iter().filter(|field| field.what == What::Counts).collect();
        let step = (counts.len() / 5).max(1);
        for (field, to) in counts.iter().step_by(step).flat_map(|field| [0, 2, 3].map(|to| (field, to))) {
            let mut bytes = base.bytes.clone();
            let end = index(field.offset) + field.length;
            bytes[index(field.offset)..end].fill(0);
            bytes[end - 1] = to;
            lab.put(IMAGE, &bytes);
            let qemu = ask(lab.folder(), IMAGE, &[]);
            let difference = compare(&check_bytes(bytes), &qemu).err();
            assert_eq!(difference, None, "{} {field:?} -> {to}", base.name);
        }
    }
}

/// Why a check of ours may say something else than QEMU's.
#[derive(Clone, Copy, Debug)]
enum Reason {
    /// QEMU opens what the image needs before it checks it: a backing or data file that it can't find, or a raw one that
    /// isn't there, or the key of an encrypted image. And it doesn't open one whose head is wrong.
    OnlyWeOpenIt,
    /// QEMU doesn't open an image whose bitmaps are broken, so its check never says so.
    BrokenBitmaps,
    /// QEMU takes an L1 entry with flags and no table for a table at offset 0, and the header for its entries.
    HeaderAsTable,
    /// A zero flag in version 2 is nothing to QEMU's check; reading the cluster fails.
    ZeroInVersion2,
}

impl Reason {
    /// The reason, if there is one, with what our numbers are without it; `None` where only the verdict can be compared.
    fn of(ours: &Result<CheckReport>, qemu: &Said) -> Option<(Self, Option<Numbers>)> {
        const NEEDS: [&str; 6] = [
            "'data-file' is required",
            "data-file-raw requires",
            "Could not open backing file",
            "key-secret' is required",
            "Header extension too large",
            "CRYPTO header extension only expected",
        ];
        let report = ours.as_ref().ok()?;
        let has = |code: &str| report.findings.iter().any(|finding| finding.code() == code);
        if qemu.numbers.is_none() && (has("BITMAP_DIRECTORY") || has("BITMAP_TABLE_ENTRY")) {
            return Some((Self::BrokenBitmaps, None));
        }
        if qemu.numbers.is_none() && NEEDS.iter().any(|complaint| qemu.complaint.contains(complaint)) {
            return Some((Self::OnlyWeOpenIt, None));
        }
        let without_table = |finding: &Finding| match finding {
            Finding::L1Reserved { entry, .. } | Finding::L1WithoutTable { entry, .. } => {
                entry & 0x00ff_ffff_ffff_fe00 == 0
            }
            _ => false,
        };
        if report.findings.iter().any(without_table) {
            return Some((Self::HeaderAsTable, None));
        }
        let zeros = report.findings.iter().filter(|finding| matches!(finding, Finding::ZeroInVersion2 { .. })).count();
        let all = numbers(report);
        let without = Numbers { corruptions: all.corruptions - zeros as u64, ..all };
        (zeros > 0).then_some((Self::ZeroInVersion2, Some(without)))
    }
}

fn compare(ours: &Result<CheckReport>, qemu: &Said) -> std::result::Result<Option<Reason>, String> {
    let mut sentences = ours.iter().flat_map(|report| &report.findings).map(Finding::to_string);
    if let Some(sentence) = sentences.find(|sentence| !has_hexadecimal_offsets(sentence)) {
        return Err(sentence);
    }
    let verdict = ours.as_ref().map_or(1, |report| i32::from(report.verdict().exit_code()));
    let same = match (ours, &qemu.numbers) {
        (_, None) => verdict == 1 && qemu.exit_code == 1,
        (Ok(report), Some(theirs)) => numbers(report) == *theirs && verdict == qemu.exit_code,
        (Err(_), Some(_)) => false,
    };
    if same {
        return Ok(None);
    }
    match Reason::of(ours, qemu) {
        Some((reason, None)) if qemu.numbers.is_none() || verdict == qemu.exit_code => Ok(Some(reason)),
        Some((reason, Some(numbers))) if qemu.numbers == Some(numbers) => Ok(Some(reason)),
        _ => {
            let ours = ours.as_ref().map(|report| (numbers(report), &report.findings[..report.findings.len().min(6)]));
            let complaint: String = qemu.complaint.chars().take(600).collect();
            Err(format!("ours {ours:?}\n  QEMU {:?} {:?} {complaint}", qemu.exit_code, qemu.numbers))
        }
    }
}
