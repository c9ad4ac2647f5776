//! Our repair of damaged images, which `qemu-img check` then has to find sound; and what of the disk can be read before
//! and after, by us and by `qemu-img check -r all`.
//!
//! `CHECK_IMAGES` and `CHECK_SEED` as for the findings.

use std::collections::BTreeMap;
use std::fmt::Write;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{
    BackingFile, BackingFormat, BackingRequest, BackingResolver, CreateOptions, Finding, Image, OpenOptions, Repair,
    RepairOptions, RepairReport, Supply, Verdict, repair,
};

use super::bases::{self, BACKING, DATA};
use super::damage::{Damaged, all_fields};
use super::findings::{check_bytes, number_from_environment};
use super::oracle::ask;
use crate::common::builder::{Builder, extension, field};
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::now;
use crate::common::{MIB, index};

const IMAGES: u64 = 150;
/// Images that were not sound after an earlier version of the repair.
const ONCE_WRONG: [u64; 8] = [1044, 1231, 1297, 1866, 2016, 2076, 2431, 2441];
const OURS: &str = "ours.qcow2";
const THEIRS: &str = "theirs.qcow2";

/// The files beside the images.
pub struct Beside {
    backing: Vec<u8>,
    data: Vec<u8>,
}

impl Beside {
    pub fn of(lab: &Lab) -> Self {
        Self { backing: lab.bytes(BACKING), data: lab.bytes(DATA) }
    }
}

struct Backing<'a>(&'a Beside);

impl BackingResolver<MemoryStorage> for Backing<'_> {
    async fn resolve(&mut self, _: BackingRequest<'_>) -> Result<Supply<MemoryStorage>, qcow2_web::storage::PastEnd> {
        let storage = MemoryStorage::from(self.0.backing.clone());
        Ok(Supply::File(BackingFile { storage, format: Some(BackingFormat::Raw), data_file: None }))
    }
}

/// The disk in pieces, and each piece as far as it can be read; `None` where the image doesn't open.
pub fn read(bytes: &[u8], beside: &Beside) -> Option<Vec<Option<Vec<u8>>>> {
    let has_data_file = bytes[7] == 3 && bytes[79] & 4 != 0;
    let mut options = OpenOptions::new();
    if has_data_file {
        options = options.data_file(MemoryStorage::from(beside.data.clone()));
    }
    let image = now(Image::open(MemoryStorage::from(bytes.to_vec()), options.backing(Backing(beside)))).ok()?;
    let size = image.size().min(2 * MIB);
    let pieces = (0..size).step_by(512).map(|offset| {
        let mut piece = vec![0; index(512.min(size - offset))];
        now(image.read_at(offset, &mut piece)).ok().map(|()| piece)
    });
    Some(pieces.collect())
}

fn repaired(bytes: &[u8], which: Repair, accept_loss: bool) -> (Vec<u8>, Option<RepairReport>) {
    let storage = MemoryStorage::from(bytes.to_vec());
    let report = now(repair(&storage, RepairOptions::new(which).accept_loss(accept_loss))).ok();
    (storage.into_bytes(), report)
}

/// The first piece that `before` could read, and `after` reads otherwise.
pub fn first_lost(before: &[Option<Vec<u8>>], after: &[Option<Vec<u8>>]) -> Option<usize> {
    (0..before.len()).find(|piece| before[*piece].is_some() && after.get(*piece) != Some(&before[*piece]))
}

#[test]
fn damaged_images_are_sound_afterwards() {
    let lab = Lab::new();
    let bases = bases::all(&lab);
    let fields = all_fields(&bases);
    let beside = Beside::of(&lab);
    let (first, count) = (number_from_environment("CHECK_SEED", 0), number_from_environment("CHECK_IMAGES", IMAGES));
    let (mut faults, mut reasons) = (String::new(), BTreeMap::new());
    for seed in (first..first + count).chain(ONCE_WRONG) {
        let damaged = Damaged::any(&bases, &fields, &mut Random::seeded(!seed));
        let bytes = damaged.bytes(&bases);
        lab.put(THEIRS, &bytes);
        match examine(&lab, &bytes, &beside) {
            Ok(reason) => *reasons.entry(reason).or_insert(0) += 1,
            Err(fault) => writeln!(faults, "CHECK_SEED={seed} {}\n  {fault}", damaged.describe(&bases)).unwrap(),
        }
    }
    println!("{count} images: {reasons:?}");
    assert!(faults.is_empty(), "{faults}");
}

/// What it claims is longer than any file. Where nothing is encrypted by LUKS, nobody follows it, but QEMU
/// opens no image that has it.
#[test]
fn a_crypto_header_without_end() {
    for (method, is_followed) in [(0, false), (2, true)] {
        let pointer = [1_u64 << 30, u64::MAX].map(u64::to_be_bytes).concat();
        let plan = Builder::new(512, 64 << 10).with_data(0, 0x77).with_extension(extension::CRYPTO_HEADER, pointer);
        let image = plan.build().set_u32(field::CRYPT_METHOD, method);
        let (bytes, report) = repaired(&image.bytes, Repair::All, true);
        let corruptions = report.map(|report| (report.before.corruptions, report.after.corruptions));
        assert_eq!(corruptions, Some(if is_followed { (1, 1) } else { (1, 0) }), "method {method}");
        // Where it is not followed, it is made an extension that says nothing.
        let changed = (0..bytes.len()).filter(|at| bytes[*at] != image.bytes[*at]).count();
        assert_eq!(changed, if is_followed { 0 } else { 4 }, "method {method}");
    }
}

fn examine(lab: &Lab, bytes: &[u8], beside: &Beside) -> Result<&'static str, String> {
    let (careful, _) = repaired(bytes, Repair::All, false);
    let (ours, report) = repaired(bytes, Repair::All, true);
    let Some(report) = report else {
        return if ours == bytes { Ok("cannot be checked") } else { Err("it failed, and wrote".into()) };
    };
    if report.after.verdict() != Verdict::Clean {
        return Err(format!("{:?} after {:?}", report.after, report.before));
    }
    lab.put(OURS, &ours);
    let said = ask(lab.folder(), OURS, &[]);
    let needs_other_files = said.exit_code == 1 && said.complaint.contains("Could not open");
    if said.exit_code != 0 && !needs_other_files {
        return Err(format!("QEMU says {} {:?} {}", said.exit_code, said.numbers, said.complaint));
    }
    let Some(before) = read(bytes, beside) else { return Ok("did not open") };
    let after = read(&ours, beside).ok_or("it opened before, and doesn't now")?;
    let after_careful = read(&careful, beside).ok_or("it opened before, and doesn't now, repaired with care")?;
    if let Some(piece) = first_lost(&before, &after_careful) {
        return Err(format!("with care, sector {piece} is lost: {:?}", report.before.findings));
    }
    ask(lab.folder(), THEIRS, &["-r", "all"]);
    // Where a refcount block should lie far past the end, QEMU makes the file so long.
    let length = std::fs::metadata(lab.path(THEIRS)).unwrap().len();
    let theirs = if length < 64 * MIB { read(&lab.bytes(THEIRS), beside).unwrap_or_default() } else { Vec::new() };
    let kept: Vec<_> =
        before.iter().zip(theirs).map(|(before, theirs)| before.clone().filter(|_| theirs == *before)).collect();
    match first_lost(&kept, &after) {
        Some(piece) => Err(format!("sector {piece} is lost, which QEMU keeps: {:?}", report.before.findings)),
        None if needs_other_files => Ok("repaired, and QEMU lacks another file"),
        None => Ok("repaired"),
    }
}

/// A table that lies past the end, and says that it is counted once, which it is: freeing that count would make a second
/// flaw of the first.
#[test]
fn what_is_counted_behind_the_end_is_no_leak() {
    let storage = MemoryStorage::default();
    now(CreateOptions::new(4096).cluster_size(512).write_to(&storage, None)).unwrap();
    let mut bytes = storage.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let place = |bytes: &[u8], at: usize| index(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()));
    let behind = bytes.len() / 512;
    let counts = place(&bytes, place(&bytes, 48));
    let l1 = place(&bytes, 40);
    bytes[counts..counts + 2].copy_from_slice(&5_u16.to_be_bytes());
    bytes[counts + 2 * behind..][..2].copy_from_slice(&1_u16.to_be_bytes());
    bytes[l1..l1 + 8].copy_from_slice(&(1 << 63 | (behind as u64) << 9).to_be_bytes());

    let (_, report) = repaired(&bytes, Repair::Leaks, false);
    let RepairReport { before, after } = report.unwrap();
    assert_eq!((before.leaks, before.corruptions), (1, 1), "{:?}", before.findings);
    assert_eq!((after.leaks, after.corruptions), (0, 1), "{:?}", after.findings);
}

#[test]
fn leaks_are_freed_and_nothing_else() {
    let lab = Lab::new();
    let bases = bases::all(&lab);
    let fields = all_fields(&bases);
    let beside = Beside::of(&lab);
    let mut freed = 0;
    for seed in 0..number_from_environment("CHECK_IMAGES", 100) {
        let damaged = Damaged::any(&bases, &fields, &mut Random::seeded(seed));
        let bytes = damaged.bytes(&bases);
        let (ours, Some(report)) = repaired(&bytes, Repair::Leaks, false) else { continue };
        let context = || format!("CHECK_SEED={seed} {}: {:?}", damaged.describe(&bases), report.before.findings);
        // A flag may be missing then, which does no harm, and is given only where nothing else is wrong.
        let missing = |finding: &&Finding| {
            matches!(finding, Finding::L1Copied { flag: false, .. } | Finding::L2Copied { flag: false, .. })
        };
        let harmless = report.after.findings.iter().filter(missing).count() as u64;
        assert!(report.after.corruptions <= report.before.corruptions + harmless, "{}", context());
        assert!(report.after.leaks == 0 || report.after.leaks == report.before.leaks, "{}", context());
        freed += report.before.leaks - report.after.leaks;
        assert_eq!(read(&bytes, &beside), read(&ours, &beside), "{}", context());
        if report.before.verdict() == Verdict::Leaks {
            assert_eq!(check_bytes(ours.clone()).unwrap().verdict(), Verdict::Clean, "{}", context());
            lab.put(OURS, &ours);
            assert_ne!(ask(lab.folder(), OURS, &[]).exit_code, 3, "{}", context());
        }
    }
    assert!(freed > 0);
}
