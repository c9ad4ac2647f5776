//! The head of a file: header, extensions, snapshot table, bitmap directory.

use std::convert::Infallible;
use std::rc::Rc;

use qcow2_web::{Error, Image, Inspection, OpenOptions, Problem, WithoutBacking, inspect};

use crate::check::check_error;
use crate::limits::{ready, within_memory};
use crate::storage::Counted;

/// The first cluster, zeros included, and everything read a few times over.
const MEMORY: usize = 4 << 20;
const EXPANSION: usize = 16;
/// What lies past the end of the file: a piece of the refcount table, a block, the L1 table, and the last 64 L2 tables.
const REQUESTS_FOR_MISSING: u64 = 67;

/// The input is the file.
pub fn header(input: &[u8]) {
    let file = Rc::new(Counted::new(input.to_vec()));
    within_memory(MEMORY + EXPANSION * input.len(), || {
        let (inspection, cost) = file.count(|| ready(inspect(&file)));
        let Ok(inspection) = inspection;
        let allowed = 4 + REQUESTS_FOR_MISSING + requests_for_snapshots(&inspection, input.len());
        assert!(cost.requests <= allowed, "inspect took {cost:?}");
        for problem in &inspection.problems {
            assert!(!problem.to_string().is_empty());
        }
        let (opened, cost) = file.count(|| open(&file, &inspection));
        assert!(cost.requests <= 4 + requests_for_snapshots(&inspection, input.len()), "open took {cost:?}");
        match opened {
            Ok(image) => {
                // An image opens for reading with damage that its disk does not need, and reports that.
                assert_eq!(image.problems(), inspection.problems);
                assert_eq!(*image.snapshots(), *inspection.snapshots);
                look_at(&image);
            }
            Err(error) => {
                check_error(&error);
                let codes: Vec<_> = inspection.problems.iter().map(Problem::code).collect();
                assert!(codes.contains(&error.code()), "{codes:?}, but opening it: {error}");
            }
        }
    });
}

/// A window of 64 KiB, or an entry that is larger, at a time.
fn requests_for_snapshots(inspection: &Inspection, length: usize) -> u64 {
    let windows = length as u64 / (64 << 10) + 1;
    windows + inspection.snapshots.len() as u64
}

/// The input as the image's file.
type Input = Rc<Counted<Vec<u8>>>;

fn open(file: &Input, inspection: &Inspection) -> Result<Image<Input>, Error<Infallible>> {
    // What the header says of an encrypted image takes no passphrase.
    let mut options = OpenOptions::new().without_passphrase();
    if inspection.header.as_ref().is_some_and(|header| header.incompatible_features & 1 << 2 != 0) {
        options = options.data_file(file.clone());
    }
    ready(Image::open(file.clone(), options.backing(WithoutBacking)))
}

fn look_at(image: &Image<Input>) {
    match ready(image.info()) {
        Ok(info) => {
            assert_eq!(info.virtual_size, image.size());
            assert_eq!((info.dirty, info.corrupt), (image.is_dirty(), image.is_corrupt()));
        }
        Err(error) => check_error(&error),
    }
    for snapshot in image.snapshots().iter() {
        for selector in [&snapshot.id, &snapshot.name] {
            match image.open_snapshot(selector) {
                Ok(view) => assert_eq!(view.size() % 512, 0),
                Err(error) => check_error(&error),
            }
        }
    }
}
